"""The projections of one attention layer, head by head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from pytest_attn_grader.models.architectures import Architecture


@dataclass(frozen=True)
class Projections:
    """Matrices and biases of one layer.

    Attributes:
        w_q, w_k, w_v: ``(in_features, num_heads, head_dim)``; b_q, b_k, b_v: ``(num_heads, head_dim)`` or None. Keys
            and values may have fewer heads, each of which serves as many query heads side by side.
        w_o: ``(num_heads, head_dim, out_features)`` or None; b_o: ``(out_features,)`` or None.
    """

    w_q: Tensor
    w_k: Tensor
    w_v: Tensor
    b_q: Tensor | None = None
    b_k: Tensor | None = None
    b_v: Tensor | None = None
    w_o: Tensor | None = None
    b_o: Tensor | None = None

    @property
    def num_heads(self) -> int:
        return self.w_q.shape[1]

    @property
    def head_dim(self) -> int:
        return self.w_q.shape[2]

    @property
    def num_key_value_heads(self) -> int:
        return self.w_k.shape[1]

    @property
    def has_input_biases(self) -> bool:
        return any(bias is not None for bias in (self.b_q, self.b_k, self.b_v))

    def with_inputs_changed(self, change: Callable[[str, Tensor], Tensor]) -> Projections:
        """The same with what a function of the name makes of each matrix and bias of query, key and value."""
        names = ("w_q", "w_k", "w_v", "b_q", "b_k", "b_v")
        given = {name: tensor for name in names if (tensor := getattr(self, name)) is not None}
        changed: dict[str, Any] = {name: change(name, tensor) for name, tensor in given.items()}
        return replace(self, **changed)

    def without_input_biases(self) -> Projections:
        return replace(self, b_q=None, b_k=None, b_v=None)

    def query_key_value(self, hidden_states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Project hidden states ``(batch, seq, in_features)`` to three ``(batch, num_heads, seq, head_dim)``."""
        pairs = ((self.w_q, self.b_q), (self.w_k, self.b_k), (self.w_v, self.b_v))
        query, key, value = (_project(hidden_states, weight, bias) for weight, bias in pairs)
        return query, key, value

    def project_output(self, attn_output: Tensor) -> Tensor:
        """Mix the heads: ``(batch, num_heads, seq, head_dim)`` to ``(batch, seq, out_features)``."""
        if self.w_o is None:
            return attn_output.transpose(1, 2).flatten(2)
        mixed = torch.einsum("bhtd,hdo->bto", attn_output, self.w_o)
        return mixed if self.b_o is None else mixed + self.b_o


def unflatten(tensor: Tensor, dim: int, sizes: tuple[int, ...]) -> Tensor:
    """Split one axis into several (torch's own has no annotations)."""
    split: Tensor = tensor.unflatten(dim, sizes)  # type: ignore[no-untyped-call]
    return split


def _project(hidden_states: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    projected = unflatten(
        hidden_states @ weight.flatten(1), -1, tuple(weight.shape[1:])
    )  # (batch, seq, heads, head_dim)
    return (projected if bias is None else projected + bias).transpose(1, 2)


def one_hot_projections(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Projections]:
    """Hidden states and projections whose products are exactly these tensors; keys and values may have fewer heads.

    Every token of the batch gets a different unit vector, and the projections hold one row a token: a one times a
    number is that number, in every precision. So what holds projections can be asked about any query, key and value.

    Returns:
        hidden states of the queries ``(batch, query_len, features)`` and of the keys ``(batch, key_len, features)``,
        and projections with in_features = batch * key_len.
    """
    batch_size, _, key_len, head_dim = key.shape
    query_len = query.shape[-2]
    features = batch_size * key_len
    code = torch.eye(features, dtype=key.dtype, device=key.device)
    key_states = code.reshape(batch_size, key_len, features)
    query_states = key_states
    if query_len != key_len:
        query_states = code[: batch_size * query_len].reshape(batch_size, query_len, features)

    def rows(tensor: Tensor) -> Tensor:
        matrix = tensor.transpose(1, 2).reshape(-1, tensor.shape[1], head_dim)
        return torch.nn.functional.pad(matrix, (0, 0, 0, 0, 0, features - matrix.shape[0]))

    return query_states, key_states, Projections(rows(query), rows(key), rows(value))


def concatenated_projections(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Projections]:
    """Hidden states that hold these tensors side by side, and projections that take them out again.

    They are used where there are too many tokens for `one_hot_projections`. The most important dimensions of these
    hidden states can be kept. Among unit vectors none is more important than another.

    Returns:
        hidden states ``(batch, seq, 3 * num_heads * head_dim)`` and their projections.
    """
    _, num_heads, _, head_dim = query.shape
    states = torch.cat([query, key, value], dim=-1).transpose(1, 2).flatten(2)
    features = states.shape[-1]
    code = torch.eye(features, dtype=query.dtype, device=query.device).reshape(features, num_heads, 3, head_dim)
    return states, Projections(code[:, :, 0], code[:, :, 1], code[:, :, 2])


def projections_of(model: Any, family: Architecture, layer_idx: int) -> Projections:
    """The pretrained projections of one layer; they share no memory with the model but carry its gradients."""
    attention: Any = family.get_attention(model, layer_idx)
    heads = family.heads[layer_idx]
    names = family.projections
    transposed = names.transposed

    def matrix(module: Any) -> tuple[Tensor, Tensor | None]:
        weight = module.weight if transposed else module.weight.T
        return weight, getattr(module, "bias", None)

    modules = [getattr(attention, name) for name in (names.query, names.key, names.value)]
    if names.packing == "separate":
        found = [matrix(module) for module in modules]
    else:
        weight, bias = matrix(modules[0])
        found = _split_fused(weight, bias, names.packing, heads.num_heads)
    w_o, b_o = matrix(family.get_output_projection(model, layer_idx))

    def split(pair: tuple[Tensor, Tensor | None]) -> tuple[Tensor, Tensor | None]:
        weight, bias = pair
        shape = (-1, heads.head_dim)
        split_weight, split_bias = unflatten(weight, 1, shape), None if bias is None else unflatten(bias, 0, shape)
        if split_weight.shape[1] != heads.num_heads:  # grouped-query: repeated for every query head
            repeats = heads.num_heads // split_weight.shape[1]
            split_weight = split_weight.repeat_interleave(repeats, dim=1)
            split_bias = None if split_bias is None else split_bias.repeat_interleave(repeats, dim=0)
        return split_weight, split_bias

    (w_q, b_q), (w_k, b_k), (w_v, b_v) = map(split, found)
    return Projections(w_q, w_k, w_v, b_q, b_k, b_v, unflatten(w_o, 0, (heads.num_heads, heads.head_dim)), b_o)


def _split_fused(
    weight: Tensor, bias: Tensor | None, packing: str, num_heads: int
) -> list[tuple[Tensor, Tensor | None]]:
    """The three of a fused matrix ``(in_features, 3 * width)``."""

    def parts(tensor: Tensor) -> list[Tensor]:
        if packing == "fused":
            return list(tensor.chunk(3, dim=-1))
        by_head = unflatten(tensor, -1, (num_heads, 3, -1))
        return [by_head[..., index, :].flatten(-2) for index in range(3)]

    biases: list[Tensor | None] = [None] * 3 if bias is None else [*parts(bias)]
    return list(zip(parts(weight), biases, strict=True))
