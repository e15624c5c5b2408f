"""Measure how much the attention of a layer matters to the model's loss, to judge how much a wrong one changes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor

from pytest_attn_grader._utils.fork_cache import cached
from pytest_attn_grader.attention.reference import reference_attention
from pytest_attn_grader.grading.comparison import MAX_HELD_OUT_TEXTS, compare_on_prompt, evaluate_passage, mean_loss
from pytest_attn_grader.grading.concurrency import run_concurrently
from pytest_attn_grader.grading.held_out_text import held_out_passages
from pytest_attn_grader.model_utils import patched_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from pytest_attn_grader.models.prompt import Prompt
    from pytest_attn_grader.models.types import LoadedModel
    from pytest_attn_grader.results.comparison import Comparison


def compare_with_layer_effect(
    loaded: LoadedModel,
    reference_model: PreTrainedModel,
    student_model: PreTrainedModel,
    prompt: Prompt,
    *,
    layer_idx: int,
    layers: Sequence[int],
) -> Comparison:
    """Compare as `compare_on_prompt` does, and measure the effect of the layers on the model's loss.

    Args:
        loaded: the model as it was loaded; `reference_model` may be under the submission's restrictions.
        layers: the layers that have the student's attention.

    Raises:
        SubmissionError: the student's attention gave no answer inside the model.
    """
    compared = compare_on_prompt(replace(loaded, model=reference_model), student_model, prompt, layer_idx=layer_idx)
    predictions = compared.predictions.model_copy(update={"layer_effect": measure_layer_effect(loaded, layers)})
    return compared.model_copy(update={"predictions": predictions})


def measure_layer_effect(loaded: LoadedModel, layers: Sequence[int]) -> float:
    """Return by how many nats a token the loss changes when the attention of these layers becomes uniform.

    Uniform attention gives every key that the mask keeps the same weight. It makes no use of the query and the key.
    """
    return cached(("layer-effect", *layers), partial(_measure, loaded, layers), owner=loaded.model)


def _measure(loaded: LoadedModel, layers: Sequence[int]) -> float:
    passages = held_out_passages(loaded)[:MAX_HELD_OUT_TEXTS]
    uniform = patched_model(loaded.model, dict.fromkeys(layers, uniform_attention))

    def measure_loss(model: PreTrainedModel) -> float:
        return mean_loss([evaluate_passage(model, input_ids) for input_ids in passages])

    own, changed = run_concurrently(loaded.model, partial(measure_loss, loaded.model), partial(measure_loss, uniform))
    return abs(changed - own)


def uniform_attention(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Give every key that the mask keeps the same weight; shapes as in `reference_attention`."""
    return reference_attention(query, key, value, keep_mask, scaling=0.0)
