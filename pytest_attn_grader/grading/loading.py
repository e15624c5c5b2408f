"""Load the model of one run; the import of torch and transformers is part of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_attn_grader._utils.imports import fast_imports, import_heavy_modules
from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.grading.timing import PhaseClock
from pytest_attn_grader.settings.settings import Settings

if TYPE_CHECKING:
    from pytest_attn_grader.models.types import LoadedModel
    from pytest_attn_grader.submission.target import Target


ROTARY_MODEL = "mini-llama"


def load_session_model(settings: Settings, clock: PhaseClock, target: Target) -> LoadedModel:
    """Load the model of a run and its tokenizer; ``auto`` takes a rotary model for a submission with rotary positions.

    Raises:
        UngradableError: the model is not available.
        UsageError: the layer is out of range.
    """
    with clock.phase("import libraries"):
        import_heavy_modules()
    from pytest_attn_grader.model_utils import attach_tokenizer
    from pytest_attn_grader.models.devices import limit_threads
    from pytest_attn_grader.models.load import AUTO_MODEL, find_preloaded, load_model
    from pytest_attn_grader.submission.rotary import mentions_rotary_positions

    with clock.phase("load model"), fast_imports():
        model, device = settings.model, settings.device
        if model == "auto" and mentions_rotary_positions(target.source.text):
            reason = f"the submission has rotary positions, and {AUTO_MODEL} has none"
            loaded = replace(load_model(ROTARY_MODEL, device=device), requested=model, fallback_reason=reason)
        else:
            loaded = find_preloaded(model, device) or load_model(model, device=device, progress=True)
    limit_threads(loaded.model)
    attach_tokenizer(loaded.model, loaded.tokenizer)
    num_layers = int(loaded.model.config.num_hidden_layers)
    if settings.layer_idx >= num_layers:
        raise UsageError(
            f"--attn-layer={settings.layer_idx}: {loaded.used} has {num_layers} layers, numbered 0 to {num_layers - 1}."
        )
    return loaded
