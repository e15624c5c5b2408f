"""Wrong attentions for measuring how much `mini` depends on right ones, and a way to put one into one layer."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, eager_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

DISPATCHER = "mini_intervention"

# (query, key, value, additive_mask, scaling) -> output, all (batch, num_heads, seq_len, head_dim)
WrongAttention = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]


def attend_uniformly(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, additive_mask: torch.Tensor, scaling: float
) -> torch.Tensor:
    """The same weight on every token that may be seen."""
    keep_mask = (additive_mask == 0).to(value.dtype)
    return keep_mask / keep_mask.sum(dim=-1, keepdim=True) @ value


def no_scale(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, additive_mask: torch.Tensor, scaling: float
) -> torch.Tensor:
    """Scores not divided by sqrt(head_dim)."""
    return (query @ key.transpose(-2, -1) + additive_mask).softmax(dim=-1) @ value


def forget_mask(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, additive_mask: torch.Tensor, scaling: float
) -> torch.Tensor:
    """Every token sees the future."""
    return (query @ key.transpose(-2, -1) * scaling).softmax(dim=-1) @ value


def softmax_over_queries(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, additive_mask: torch.Tensor, scaling: float
) -> torch.Tensor:
    """Softmax over the wrong axis: columns sum to one, rows do not."""
    return (query @ key.transpose(-2, -1) * scaling + additive_mask).softmax(dim=-2) @ value


def keys_as_values(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, additive_mask: torch.Tensor, scaling: float
) -> torch.Tensor:
    """Right weights, applied to the keys."""
    return (query @ key.transpose(-2, -1) * scaling + additive_mask).softmax(dim=-1) @ key


def scramble_heads(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, additive_mask: torch.Tensor, scaling: float
) -> torch.Tensor:
    """Heads split by a view alone, without the transposition: head and token are mixed up."""
    query, key, value = (tensor.transpose(1, 2).reshape(tensor.shape) for tensor in (query, key, value))
    return (query @ key.transpose(-2, -1) * scaling + additive_mask).softmax(dim=-1) @ value


WRONG_ATTENTIONS: Mapping[str, WrongAttention] = {
    "no scale": no_scale,
    "no mask": forget_mask,
    "softmax over queries": softmax_over_queries,
    "keys as values": keys_as_values,
    "scrambled heads": scramble_heads,
}


def _dispatch(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """What transformers calls for a layer with an intervention: the layer's own wrong attention."""
    wrong_attention: WrongAttention = module.mini_intervention  # type: ignore[assignment]
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    return wrong_attention(query, key, value, attention_mask, scaling).transpose(1, 2), None


# Registrations are global and cannot be taken back, so there is one. Without the mask's, transformers would hand over
# no mask at all as soon as a whole model uses this name.
ALL_ATTENTION_FUNCTIONS.register(DISPATCHER, _dispatch)
ALL_MASK_ATTENTION_FUNCTIONS.register(DISPATCHER, eager_mask)


@contextmanager
def patched_attention(model: GPT2LMHeadModel, wrong_attention: WrongAttention, *, layer_idx: int = 0) -> Iterator[None]:
    """Within this context one layer of the model computes a wrong attention; afterwards it is as it was."""
    attention: Any = model.transformer.h[layer_idx].attn
    config = attention.config
    attention.config = copy.copy(config)
    attention.config._attn_implementation_internal = DISPATCHER
    attention.mini_intervention = wrong_attention
    try:
        yield
    finally:
        attention.config = config
        del attention.mini_intervention
