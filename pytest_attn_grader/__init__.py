"""Put a student's attention into a real transformer and say in plain words what is right and what is wrong.

The names below are loaded when they are first used: importing this package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_attn_grader.attention.reference import reference_attention
    from pytest_attn_grader.errors import AttnGraderError, PatchingError, SubmissionError, UngradableError, UsageError
    from pytest_attn_grader.model_utils import (
        extract_attention_layer,
        extract_attention_weights,
        load_mini_transformer,
        replace_attention_mechanism,
        run_inference_comparison,
    )
    from pytest_attn_grader.plugin.live import grade
    from pytest_attn_grader.results.report import GradeReport
    from pytest_attn_grader.settings.options import PROMPT_EXAMPLE

_HOME = {
    "load_mini_transformer": "model_utils",
    "extract_attention_layer": "model_utils",
    "replace_attention_mechanism": "model_utils",
    "run_inference_comparison": "model_utils",
    "extract_attention_weights": "model_utils",
    "reference_attention": "attention.reference",
    "grade": "plugin.live",
    "GradeReport": "results.report",
    "PROMPT_EXAMPLE": "settings.options",
    "AttnGraderError": "errors",
    "SubmissionError": "errors",
    "PatchingError": "errors",
    "UngradableError": "errors",
    "UsageError": "errors",
}

__all__ = [
    "__version__",
    "load_mini_transformer",
    "extract_attention_layer",
    "replace_attention_mechanism",
    "run_inference_comparison",
    "extract_attention_weights",
    "reference_attention",
    "grade",
    "GradeReport",
    "PROMPT_EXAMPLE",
    "AttnGraderError",
    "SubmissionError",
    "PatchingError",
    "UngradableError",
    "UsageError",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("pytest-attn-grader")
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_ipython_extension(shell: Any) -> None:
    """Add ``%%attn_grade`` to IPython; called by ``%load_ext pytest_attn_grader``."""
    importlib.import_module(f"{__name__}.plugin.ipython_magic").register_magic(shell)


def __dir__() -> list[str]:
    return sorted(__all__)
