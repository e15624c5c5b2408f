"""Rotary positions inside a submission: which rotation a module applies to query and key, found by trial.

A module that rotates query and key by their positions computes the attention of the rotated ones. Rotations can be
undone, so such a module is given query and key rotated backwards: what it rotates are then the probe's own, and the
reference, the checks and the models with rotary positions need not know. Source: Su et al., "RoFormer", 2021.

Tables of cos and sin, complex factors or positions may be arguments, in many shapes: which one is meant is tried, too.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pytest_attn_grader.attention.reference import causal_keep_mask
from pytest_attn_grader.attention.rotation import BASE, Pairing, Rotation, rotate
from pytest_attn_grader.submission.parameter_names import ROTARY_ROLES
from pytest_attn_grader.submission.remote.arguments import ComplexTensorRef, LiteralArgument, TensorRef, TupleArgument

_TOKENS, _BATCH = 6, 2
_SAME = 1e-3

Attend = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


# Names of rotary positions in code, as whole words between underscores and capitals: "rope" is not part of "Europe".
_ROTARY_WORDS = re.compile(
    r"(?<![a-z])rope(?![a-z])|RoPE|[Rr]otary|(?<![a-z])freqs_(cis|complex|cos)|\binv_freqs?\b|\bcos\s*,\s*sin\b"
)


def mentions_rotary_positions(source: str) -> bool:
    """Whether the code of a submission, comments left aside, names rotary positions."""
    code = "\n".join(line.partition("#")[0] for line in source.splitlines())
    return _ROTARY_WORDS.search(code) is not None


def find_rotation(attend: Attend, num_heads: int, head_dim: int, seed: int, *, base: float = BASE) -> Rotation | None:
    """Find the rotation that a submission applies to query and key.

    All tokens get the same query and the same key, rotated backwards. With the right rotation all scores are equal, so
    the output is that of scores of zero, whatever the submission does with its scores: scaling, mask and softmax may be
    wrong.

    Args:
        attend: the submission as ``attend(query, key, value, keep_mask) -> attn_output``.
        num_heads, head_dim: sizes that it is asked at.
        seed: of the random query, key and value.
        base: that of the graded model.

    Returns:
        The rotation of the keys: whether the queries are rotated in the same way shows when the submission is compared
        with the reference. None when the positions change nothing, or when no known rotation explains what they change.
    """
    if head_dim % 2:
        return None
    generator = torch.Generator().manual_seed(seed)
    query, key, value = (torch.randn(_BATCH, num_heads, _TOKENS, head_dim, generator=generator) for _ in range(3))
    query, key = (tensor[:, :, :1].expand_as(tensor).contiguous() for tensor in (query, key))
    causal = causal_keep_mask(_TOKENS).expand(_BATCH, 1, -1, -1).contiguous()
    pairings: tuple[Pairing, ...] = ("halves", "neighbours")
    rotations = [Rotation(pairing, base) for pairing in pairings]
    # Where scores are multiplied by the mask, equal ones are unlike those that it hides.
    for keep_mask in (causal, torch.ones_like(causal)):
        is_flat = _flat_test(attend, query, key, value, keep_mask)
        if is_flat(query, key):
            return None
        for rotation in rotations:
            if is_flat(rotate(query, rotation, backwards=True), rotate(key, rotation, backwards=True)):
                return rotation
    return None


def _flat_test(
    attend: Attend, query: Tensor, key: Tensor, value: Tensor, keep_mask: Tensor
) -> Callable[[Tensor, Tensor], bool]:
    """Make a test of whether a query and a key give the output of scores of zero."""
    flat = attend(torch.zeros_like(query), torch.zeros_like(key), value, keep_mask)
    if not bool(flat.isfinite().any()):  # a norm without an epsilon divides by the length of its query, here 0
        flat = keep_mask.to(value) / keep_mask.sum(-1, keepdim=True) @ value

    def is_flat(query: Tensor, key: Tensor) -> bool:
        difference = attend(query, key, value, keep_mask) - flat
        # A mask that is meant the other way round leaves rows without a key: NaN in both says nothing.
        known = difference.isfinite()
        return bool(known.any()) and bool(difference[known].abs().max() <= _SAME * value.abs().max())

    return is_flat


Width = Literal["half", "halves", "neighbours", "pairs"]
Axes = Literal["(seq, width)", "(1, seq, 1, width)", "(1, seq, width)", "(1, 1, seq, width)"]
_WIDTHS: tuple[Width, ...] = ("half", "halves", "neighbours")
# Of complex factors: complex numbers, or real numbers with real and imaginary part in the last dimension.
_FACTORS: tuple[Width, ...] = ("half", "pairs")
_AXES: tuple[Axes, ...] = ("(seq, width)", "(1, seq, 1, width)", "(1, seq, width)", "(1, 1, seq, width)")


@dataclass(frozen=True)
class TableStyle:
    """The form in which rotary tables are passed.

    Args:
        width: ``half``: one column for each pair; otherwise one for each dimension, with the columns of a pair half a
            head apart (``halves``) or side by side (``neighbours``). ``pairs``: factors as pairs of real numbers.
        axes: their shape; positions have it without the width.
        base: of the angles; None passes tables that rotate by nothing.
    """

    width: Width
    axes: Axes
    base: float | None

    def __str__(self) -> str:
        what = "that rotate by nothing" if self.base is None else f"of base {self.base:g}"
        if self.width == "pairs":
            return f"rotary tables {what} are passed as {self.axes} pairs of real numbers"
        columns = "half a head" if self.width == "half" else f"a head, pairs as {self.width}"
        return f"rotary tables {what} are passed as {self.axes}, {columns} wide"


def table_styles(roles: Collection[str], base: float | None) -> tuple[TableStyle | None, ...]:
    """The styles to try for a submission with these roles, the most usual first; only None where it takes no tables."""
    if not set(ROTARY_ROLES) & set(roles):
        return (None,)
    widths = _WIDTHS[:1]
    if {"rotary_cos", "rotary_pair"} & set(roles):
        widths = _WIDTHS
    elif "rotary_complex" in roles:
        widths = _FACTORS
    return tuple(TableStyle(width, axes, base) for axes, width in itertools.product(_AXES, widths))


def make_tables(
    style: TableStyle, seq_len: int, head_dim: int, dtype: torch.dtype, *, past: int = 0, whole: bool = False
) -> dict[str, Tensor]:
    """The tensors that rotary arguments refer to, by name.

    Args:
        past: how many tokens come before these.
        whole: the tables hold those tokens too.
    """
    own_positions = torch.arange(past, past + seq_len)
    positions = torch.arange(past + seq_len) if whole else own_positions
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim
    angles = positions[:, None] * (0.0 if style.base is None else style.base**-exponents)
    angles = angles.expand(len(positions), head_dim // 2)
    factors = torch.stack([angles.cos(), angles.sin()], dim=-1)  # (seq, head_dim / 2, 2): complex numbers
    if style.width == "halves":
        angles = torch.cat([angles, angles], dim=-1)
    elif style.width == "neighbours":
        angles = angles.repeat_interleave(2, dim=-1)
    before = {"(1, seq, width)": (0,), "(1, 1, seq, width)": (0, 0), "(1, seq, 1, width)": (0, 2)}.get(style.axes, ())

    def shaped(tensor: Tensor) -> Tensor:
        for axis in before:
            tensor = tensor.unsqueeze(axis)
        return tensor.contiguous()

    return {
        "rotary.cos": shaped(angles.cos().to(dtype)),
        "rotary.sin": shaped(angles.sin().to(dtype)),
        "rotary.complex": shaped(factors.float() if dtype != torch.float64 else factors),
        "rotary.positions": own_positions if style.axes == "(seq, width)" else own_positions[None],
    }


def rotary_values(
    style: TableStyle | None = None,
) -> dict[str, TensorRef | LiteralArgument | TupleArgument | ComplexTensorRef]:
    """The argument for each rotary role."""
    are_pairs = style is not None and style.width == "pairs"
    factors = TensorRef("rotary.complex") if are_pairs else ComplexTensorRef("rotary.complex")
    cos, sin = TensorRef("rotary.cos"), TensorRef("rotary.sin")
    return {
        "rotary_cos": cos,
        "rotary_sin": sin,
        "rotary_pair": TupleArgument((cos, sin)),
        "rotary_complex": factors,
        "rotary_positions": TensorRef("rotary.positions"),
        "rotary_start": LiteralArgument(0),
    }
