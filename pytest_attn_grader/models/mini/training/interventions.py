"""Wrong attentions, and copies of an embedded model that compute one of them in one layer.

A wrong attention is called as any attention of `models.patching`: query, key and value of shape
``(batch, num_heads, seq_len, head_dim)``, groups of heads repeated, and a boolean keep mask.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from pytest_attn_grader.models.architectures import find_architecture
from pytest_attn_grader.models.mini.model import MiniModel
from pytest_attn_grader.models.patching.blocks import replace_function
from pytest_attn_grader.models.patching.dispatch import register
from pytest_attn_grader.models.patching.shared_copy import eager_copy

WrongAttention: TypeAlias = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def attend_uniformly(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> Tensor:
    """Put the same weight on every token that may be seen."""
    weights = keep_mask.to(value.dtype)
    return weights / weights.sum(dim=-1, keepdim=True) @ value


def no_scale(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> Tensor:
    """Leave out the factor 1 / sqrt(head_dim)."""
    return _masked(query @ key.mT, keep_mask).softmax(dim=-1) @ value


def no_mask(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> Tensor:
    """Let every token see the future."""
    return _scores(query, key).softmax(dim=-1) @ value


def softmax_over_queries(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> Tensor:
    """Take the softmax over the wrong axis: columns sum to one, rows do not."""
    return _masked(_scores(query, key), keep_mask).softmax(dim=-2) @ value


def keys_as_values(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> Tensor:
    """Apply the right weights to the keys."""
    return _masked(_scores(query, key), keep_mask).softmax(dim=-1) @ key


def scramble_heads(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> Tensor:
    """Split heads by a view without the transposition, which mixes heads and tokens up."""
    query, key, value = (tensor.transpose(1, 2).reshape(tensor.shape) for tensor in (query, key, value))
    return _masked(_scores(query, key), keep_mask).softmax(dim=-1) @ value


def tile_groups(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor, *, group_size: int) -> Tensor:
    """Repeat key/value heads as a, b, a, b where query heads expect a, a, b, b."""
    key, value = (tensor[:, ::group_size].repeat(1, group_size, 1, 1) for tensor in (key, value))
    return _masked(_scores(query, key), keep_mask).softmax(dim=-1) @ value


WRONG_ATTENTIONS: Mapping[str, WrongAttention] = {
    "no scale": no_scale,
    "no mask": no_mask,
    "softmax over queries": softmax_over_queries,
    "keys as values": keys_as_values,
    "scrambled heads": scramble_heads,
}


def patch_layer(model: MiniModel, wrong_attention: WrongAttention, *, layer_idx: int = 0) -> MiniModel:
    """Return a copy of the model, with the same tensors, whose layer computes a wrong attention."""
    register()
    duplicate: MiniModel = eager_copy(model)
    replace_function(find_architecture(duplicate).get_attention(duplicate, layer_idx), wrong_attention, layer_idx)
    return duplicate


def remove_rotation(model: MiniModel) -> MiniModel:
    """Return a copy of a Llama, with the same tensors, whose layer 0 does not rotate query and key."""
    duplicate: MiniModel = eager_copy(model)
    attention = find_architecture(duplicate).get_attention(duplicate, 0)
    attention.register_forward_pre_hook(_rotate_by_nothing, with_kwargs=True)
    return duplicate


def break_first_layer(model: MiniModel) -> dict[str, MiniModel]:
    """Return a copy of the model for each mistake that its layer 0 can make, by the mistake's name."""
    broken = {name: patch_layer(model, wrong_attention) for name, wrong_attention in WRONG_ATTENTIONS.items()}
    if model.config.model_type == "llama":
        heads = find_architecture(model).heads[0]
        group_size = heads.num_heads // heads.num_key_value_heads
        broken["no rotation"] = remove_rotation(model)
        broken["tiled groups"] = patch_layer(model, functools.partial(tile_groups, group_size=group_size))
    return broken


def _rotate_by_nothing(
    _module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    cos, sin = named["position_embeddings"]
    return arguments, {**named, "position_embeddings": (torch.ones_like(cos), torch.zeros_like(sin))}


def _scores(query: Tensor, key: Tensor) -> Tensor:
    scaling: float = query.shape[-1] ** -0.5
    return query @ key.mT * scaling


def _masked(scores: Tensor, keep_mask: Tensor) -> Tensor:
    # not -inf: the softmax over queries would make NaN of a column that no query may see
    return scores.masked_fill(~keep_mask, torch.finfo(scores.dtype).min)
