"""Measure how much the attention of a layer matters to the model's loss, to judge how much a wrong one changes it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor

from pytest_attn_grader._utils.fork_cache import cached
from pytest_attn_grader.attention.reference import reference_attention
from pytest_attn_grader.grading.held_out_text import MAX_HELD_OUT_TEXTS, evaluate_passage, held_out_passages, mean_loss
from pytest_attn_grader.model_utils import patched_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from pytest_attn_grader.models.types import LoadedModel


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
