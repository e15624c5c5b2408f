"""Copies of an embedded model that compute a wrong attention in one layer: mistakes of the catalogue, and two more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pytest_attn_grader.misconceptions import find_misconception
from pytest_attn_grader.models.architectures import find_architecture
from pytest_attn_grader.models.mini.model import MiniModel
from pytest_attn_grader.models.patching.blocks import replace_function
from pytest_attn_grader.models.patching.dispatch import register
from pytest_attn_grader.models.patching.shared_copy import eager_copy

# What the card calls each mistake, and its name in the catalogue.
MISTAKES: Mapping[str, str] = {
    "no scale": "no-scale",
    "no mask": "no-causal-mask",
    "softmax over queries": "softmax-query-axis",
    "keys as values": "k-for-v",
    "scrambled heads": "split-view",
}


def attend_uniformly(query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor) -> Tensor:
    """Put the same weight on every token that may be seen."""
    weights = keep_mask.to(value.dtype)
    return weights / weights.sum(dim=-1, keepdim=True) @ value


def patch_layer(model: MiniModel, wrong_attention: Callable[..., Any], *, layer_idx: int = 0) -> MiniModel:
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
    """Return a copy of the model for each mistake that its layer 0 can make, by what the card calls the mistake."""
    broken = {name: patch_layer(model, find_misconception(slug).attention) for name, slug in MISTAKES.items()}
    if model.config.model_type == "llama":
        broken["no rotation"] = remove_rotation(model)
        broken["tiled groups"] = patch_layer(model, find_misconception("groups-tiled").attention)
    return broken


def _rotate_by_nothing(
    _module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    cos, sin = named["position_embeddings"]
    return arguments, {**named, "position_embeddings": (torch.ones_like(cos), torch.zeros_like(sin))}
