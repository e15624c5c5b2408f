"""The model of one run. Whoever imports this has imported nothing heavy yet: that is part of loading."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_attn_grader._utils.imports import fast_imports, import_heavy_modules
from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.grading.timing import PhaseClock
from pytest_attn_grader.settings import Settings

if TYPE_CHECKING:
    from pytest_attn_grader.models.types import LoadedModel


def load_session_model(settings: Settings, clock: PhaseClock) -> LoadedModel:
    """The model that was asked for, its tokenizer and where they came from.

    Raises:
        UngradableError: the model cannot be had.
        UsageError: the layer is out of range.
    """
    with clock.phase("import libraries"):
        import_heavy_modules()
    from pytest_attn_grader.model_utils import attach_tokenizer
    from pytest_attn_grader.models.devices import limit_threads
    from pytest_attn_grader.models.load import load_model
    from pytest_attn_grader.models.preloaded import find_preloaded

    with clock.phase("load model"), fast_imports():
        model, device = settings.model, settings.device
        loaded = find_preloaded(model, device) or load_model(model, device=device, progress=True)
    limit_threads(loaded.model)
    attach_tokenizer(loaded.model, loaded.tokenizer)
    num_layers = int(loaded.model.config.num_hidden_layers)
    if settings.layer_idx >= num_layers:
        raise UsageError(
            f"--attn-layer={settings.layer_idx}: {loaded.used} has {num_layers} layers, numbered 0 to {num_layers - 1}."
        )
    return loaded
