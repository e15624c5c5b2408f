"""The known ways to lay projections out in parameters, and how a matrix gets into one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_attn_grader.submission.projections.matrices import Projections
from pytest_attn_grader.submission.projections.projection_map import ARGUMENT, ParameterRef, ProjectionMap


@dataclass(frozen=True)
class Layout:
    """One way to lay projections out.

    Attributes:
        head_order: "h d": the features of a head lie side by side; "d h": the heads do. Beside a fused matrix it is
            the order of the output projection's input.
        packing: of fused matrices, the order of "qkv", "h" and "d".
        letters: of fused matrices, the order of query, key and value.
        parameters_transposed: bare parameters are stored ``(out_features, in_features)``, as nn.Linear's are.
        sequence_first: hidden states are ``(seq, batch, features)``.
        heads_apart: a function's weights have an axis for the heads, ``(heads, in_features, head_dim)``.
    """

    head_order: str = "h d"
    packing: str = "qkv h d"
    parameters_transposed: bool = False
    sequence_first: bool = False
    letters: str = "qkv"
    heads_apart: bool = False

    def __str__(self) -> str:
        parts = [self.packing if self.packing != "qkv h d" else "", self.head_order if self.head_order != "h d" else ""]
        parts.append(f"fused as {', '.join(self.letters)}" if self.letters != "qkv" else "")
        parts.append("weights (heads, in, head_dim)" if self.heads_apart else "")
        parts.append("parameters (out, in)" if self.parameters_transposed else "")
        parts.append("(seq, batch, features)" if self.sequence_first else "")
        return ", ".join(part for part in parts if part)


DEFAULT_LAYOUT = Layout()


_LETTERS = ("qkv", "kqv", "qvk", "kvq", "vqk", "vkq")


def layouts_for(found: ProjectionMap) -> Iterator[Layout]:
    """Every layout that makes a difference for these projections, the usual one first."""
    if not found.inputs:
        # The module loads its projections itself.
        yield from (DEFAULT_LAYOUT, Layout(sequence_first=True))
        return
    places = [place for some in found.inputs.values() for place in some]
    fused = not {"q", "k", "v"} <= found.inputs.keys()
    packings: tuple[str, ...] = ("qkv h d",)
    if fused:
        packings = ("qkv h d", "h qkv d", "h d qkv", "qkv d h", "d qkv h", "d h qkv")
    if found.is_grouped:
        packings = packings[:2]
    several_heads = found.num_heads > 1 and len(places) <= 3
    letters = ("qkv",) if not found.is_fused else _LETTERS if found.letters is None else (found.letters,)
    bare = any(place.kind not in {"Linear", "Conv1D"} for place in (*places, *([found.output] if found.output else [])))
    # Of a square matrix nothing shows how it is stored: a fused one is stored in the same way.
    is_tall = fused and len(places[0].shape) > 1 and places[0].shape[0] > places[0].shape[-1]
    stored = (True, False) if is_tall else (False, True)
    apart = (False, True) if places[0].kind == ARGUMENT and found.output is not None and not fused else (False,)
    for sequence_first, heads_apart, transposed, order_of_three, packing in itertools.product(
        (False, True), apart, stored if bare else (False,), letters, packings
    ):
        for order in _head_orders(packing, fused) if several_heads else ("h d",):
            yield Layout(order, packing, transposed, sequence_first, order_of_three, heads_apart)


def _head_orders(packing: str, fused: bool) -> tuple[str, ...]:
    """The orders of heads and features to try: where a fused matrix has the heads side by side, the output may not."""
    if fused and packing.index("h") < packing.index("d"):
        return ("h d",)
    return ("d h", "h d") if fused else ("h d", "d h")


def pack(found: ProjectionMap, layout: Layout, projections: Projections) -> dict[str, Tensor]:
    """The values of a module's parameters that make its projections these.

    Args:
        projections: of the module's own sizes; a missing bias becomes 0, a missing output projection the identity.
    """
    matrices = {"q": projections.w_q, "k": projections.w_k, "v": projections.w_v}
    given = {"q": projections.b_q, "k": projections.b_k, "v": projections.b_v}
    biases = {letter: torch.zeros_like(matrices[letter][0]) if bias is None else bias for letter, bias in given.items()}
    values = {each.weight: torch.zeros(each.shape, dtype=projections.w_q.dtype) for each in found.low_rank}
    for each in found.after_output:
        values[each.weight] = torch.eye(each.shape[0], dtype=projections.w_q.dtype)
        if each.bias is not None:
            values[each.bias] = torch.zeros(each.shape[0], dtype=projections.w_q.dtype)
    for role, places in found.inputs.items():
        order = layout.letters if role == "qkv" else role
        parts, rows = [matrices[letter] for letter in order], [biases[letter][None] for letter in order]
        if found.is_grouped and len(role) > 1:
            _put_flat(
                values,
                places[0],
                layout,
                _flat_groups(parts, layout),
                _flat_groups([row[None] for row in rows], layout),
            )
            continue
        weight = torch.stack(parts)  # (matrices, in, heads, head_dim)
        bias = torch.cat(rows)  # (matrices, heads, head_dim)
        if len(places) == found.num_heads > 1:
            for head, place in enumerate(places):
                _put(values, place, layout, weight[:, :, head : head + 1], bias[:, head : head + 1])
        else:
            _put(values, places[0], layout, weight, bias)
    if found.output is not None:
        _put_output(values, found, layout, projections)
    return values | {name: values[name].reshape(shape) for name, shape in found.kernels if name in values}


def _flat_groups(parts: Sequence[Tensor], layout: Layout) -> Tensor:
    """Matrices ``(in, heads, head_dim)`` with different numbers of heads as one ``(in, features)``.

    All of each lie side by side, or the heads of each group.
    """
    if layout.packing == "qkv h d":
        return torch.cat([part.flatten(1) for part in parts], dim=1)
    groups = min(part.shape[1] for part in parts)
    by_group = [part.reshape(part.shape[0], groups, -1) for part in parts]  # (in, groups, heads of a group * head_dim)
    return torch.cat(by_group, dim=2).flatten(1)


def _put(values: dict[str, Tensor], place: ParameterRef, layout: Layout, weight: Tensor, bias: Tensor) -> None:
    """`weight` is (matrices, in, heads, head_dim), `bias` the same without in."""
    if place.kind == ARGUMENT and layout.heads_apart:
        by_head = weight[0].transpose(0, 1)  # (heads, in, head_dim)
        values[place.weight] = by_head.transpose(1, 2) if layout.parameters_transposed else by_head
        if place.bias is not None:
            values[place.bias] = bias[0]
        return
    if len(place.shape) == 3:
        values[place.weight] = _three_dimensional(place, layout, weight)
        if place.bias is not None:
            values[place.bias] = bias.transpose(0, 1).flatten(1)
        return
    _put_flat(values, place, layout, _in_order(weight, layout), _in_order(bias[:, None], layout))


def _put_flat(values: dict[str, Tensor], place: ParameterRef, layout: Layout, flat: Tensor, bias: Tensor) -> None:
    """`flat` is (in, features), `bias` (1, features)."""
    values[place.weight] = flat.T if _is_transposed(place, layout, flat) else flat
    if place.bias is not None:
        values[place.bias] = bias[0]


def _in_order(tensor: Tensor, layout: Layout) -> Tensor:
    """(matrices, in, heads, head_dim) to (in, features)."""
    axes = {"qkv": 0, "h": 2, "d": 3}
    words = layout.packing.split() if tensor.shape[0] > 1 else ["qkv", *layout.head_order.split()]
    return tensor.permute(1, *(axes[word] for word in words)).flatten(1)


def _is_transposed(place: ParameterRef, layout: Layout, flat: Tensor) -> bool:
    """Whether a matrix is stored ``(out_features, in_features)``."""
    if place.kind in {"Linear", "Conv1D"}:
        return place.kind == "Linear"
    if place.kind == ARGUMENT:
        return layout.parameters_transposed
    if flat.shape[0] != flat.shape[1]:
        return tuple(place.shape) != tuple(flat.shape)
    return layout.parameters_transposed


def _three_dimensional(place: ParameterRef, layout: Layout, weight: Tensor) -> Tensor:
    """(heads, in, head_dim), (in, heads, head_dim), (heads, head_dim, in), or three of them side by side."""
    by_head = weight.permute(2, 1, 0, 3).flatten(2)  # (heads, in, matrices * head_dim)
    candidates = [by_head, by_head.transpose(0, 1), by_head.transpose(1, 2)]
    if layout.parameters_transposed:
        candidates.reverse()
    return next((each for each in candidates if tuple(each.shape) == tuple(place.shape)), candidates[0])


def _put_output(values: dict[str, Tensor], found: ProjectionMap, layout: Layout, projections: Projections) -> None:
    place = found.output
    assert place is not None
    like = projections.w_q
    features = found.num_heads * found.head_dim
    w_o = projections.w_o
    if w_o is None:
        eye = torch.eye(features, found.out_features, dtype=like.dtype, device=like.device)
        w_o = eye.reshape(found.num_heads, found.head_dim, found.out_features)
    if place.kind == ARGUMENT and layout.heads_apart:
        values[place.weight] = w_o.transpose(1, 2) if layout.parameters_transposed else w_o
    elif len(place.shape) == 3:
        values[place.weight] = w_o if tuple(w_o.shape) == tuple(place.shape) else w_o.permute(0, 2, 1)
    else:
        flat = (w_o if layout.head_order == "h d" else w_o.transpose(0, 1)).flatten(0, 1)
        values[place.weight] = flat.T if _is_transposed(place, layout, flat) else flat
    if place.bias is not None:
        zeros = torch.zeros(found.out_features, dtype=like.dtype, device=like.device)
        values[place.bias] = zeros if projections.b_o is None else projections.b_o
