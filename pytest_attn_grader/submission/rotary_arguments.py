"""Rotary positions that a submission takes as arguments: tables of cos and sin, complex factors, positions.

People shape and name them in many ways; which way a submission means is settled by trial, as other layouts are.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pytest_attn_grader.submission.remote.arguments import ComplexTensorRef, LiteralArgument, TensorRef, TupleArgument
from pytest_attn_grader.submission.rotary_names import ROTARY_ROLES

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
