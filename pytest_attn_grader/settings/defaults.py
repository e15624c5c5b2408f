"""What an option may be given by name, and what counts where nothing is said."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

PROMPT_EXAMPLE = "The cat sat on the mat"
SANDBOX_TIERS = ("auto", "bwrap", "process", "none")
REQUIRED_TIERS = ("bwrap", "process")
HINT_LEVELS = ("none", "nudge", "explain", "fix")
ALL_LAYERS = "all"
FORMAT_NAMES = ("gradescope", "github", "github-annotations", "classroom", "prairielearn", "exercism")

DEFAULT_POINTS: Mapping[str, float] = MappingProxyType(
    {
        "contract": 5.0,
        "shape": 10.0,
        "weights": 10.0,
        "masking": 20.0,
        "equivalence": 20.0,
        "gradients": 15.0,
        "purity": 5.0,
        "similarity": 4.0,
        "behaviour": 4.0,
        "coherence": 2.0,
        "budget": 5.0,
        "custom": 0.0,
    }
)

DEFAULT_THRESHOLDS: Mapping[str, float] = MappingProxyType(
    {
        "cosine": 0.99,
        "jensen_shannon": 0.01,
        "earth_movers": 0.05,
        "argmax_agreement": 0.95,
        "entropy_difference": 0.05,
        "kl_divergence": 0.01,
        "top_k_agreement": 0.9,
        "loss_difference": 0.02,
        "relation_difference": 0.05,
        "slowdown": 50.0,
    }
)
