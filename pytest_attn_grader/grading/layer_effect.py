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

    def measure_effect(reference_loss: float) -> float:
        # Under a submission's restrictions the reference's loss is not that of the model as it was loaded.
        return measure_layer_effect(loaded, layers, reference_loss if reference_model is loaded.model else None)

    reference = replace(loaded, model=reference_model)
    return compare_on_prompt(reference, student_model, prompt, layer_idx=layer_idx, measure_effect=measure_effect)


def measure_layer_effect(loaded: LoadedModel, layers: Sequence[int], loss: float | None = None) -> float:
    """Return by how many nats a token the loss changes when the attention of these layers becomes uniform.

    Uniform attention gives every key that the mask keeps the same weight. It makes no use of the query and the key.

    Args:
        loss: the model's own loss on the first `MAX_HELD_OUT_TEXTS` passages, where it is known.
    """
    return cached(("layer-effect", *layers), partial(_measure, loaded, layers, loss), owner=loaded.model)


def _measure(loaded: LoadedModel, layers: Sequence[int], loss: float | None) -> float:
    passages = held_out_passages(loaded)[:MAX_HELD_OUT_TEXTS]

    def measure_loss(model: PreTrainedModel) -> float:
        return mean_loss([evaluate_passage(model, input_ids) for input_ids in passages])

    own = measure_loss(loaded.model) if loss is None else loss
    return abs(measure_loss(patched_model(loaded.model, dict.fromkeys(layers, uniform_attention))) - own)


def uniform_attention(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Give every key that the mask keeps the same weight; shapes as in `reference_attention`."""
    return reference_attention(query, key, value, keep_mask, scaling=0.0)
