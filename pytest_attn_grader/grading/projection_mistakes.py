"""Projections that are applied wrongly: transposed, to another text, twice, in the wrong place, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from pytest_attn_grader.submission.projections.matrices import Projections, unflatten

NAMES = {"q": "query", "k": "key", "v": "value", "o": "output"}


def transposed_projections(right: Projections) -> Iterator[tuple[str, Projections]]:
    """Yield the projections with square matrices transposed, each with words that say which."""
    square = {letter: matrix for letter in NAMES if (matrix := _transposed(right, letter)) is not None}
    for number in range(1, len(square) + 1):
        for letters in combinations(square, number):
            names = " and ".join(NAMES[letter] for letter in letters)
            words = f"the matri{'x' if number == 1 else 'ces'} of the {names} projection{'s' if number > 1 else ''}"
            turned: dict[str, Any] = {f"w_{letter}": square[letter] for letter in letters}
            unlike = ", unlike the others" if number < len(square) else ""
            yield f"{words} {'is' if number == 1 else 'are'} used transposed{unlike}", replace(right, **turned)


def unprojected(right: Projections) -> Iterator[tuple[str, Projections]]:
    """Yield the projections with hidden states in the place of the values, or also of query and key, with words."""
    for letters in ("v", "k", "q", "qk", "qkv"):
        shapes = [getattr(right, f"w_{letter}").shape for letter in letters]
        if all(shape[0] == shape[1] * shape[2] for shape in shapes):
            names = " and ".join(NAMES[letter] for letter in letters)
            units: dict[str, Any] = {}
            for letter, shape in zip(letters, shapes, strict=True):
                units |= {f"w_{letter}": torch.eye(shape[0]).to(right.w_q).reshape(shape), f"b_{letter}": None}
            yield f"the hidden states are taken for the {names}, without a projection", replace(right, **units)


def misplaced_output_projections(heads_output: Tensor, right: Projections) -> Iterator[tuple[str, Tensor]]:
    """Yield outputs of a layer whose output projection is left out or applied wrongly, each with its words.

    Args:
        heads_output: the right output of the heads, ``(batch, num_heads, seq, head_dim)``.
    """
    if right.w_o is None:
        return
    merged, shape = heads_output.transpose(1, 2).flatten(2), heads_output.shape
    yield "the output is that of the heads side by side, and the output projection has no part in it", merged
    if right.w_o.shape[-1] != merged.shape[-1]:
        return
    split = tuple(right.w_o.shape[:2])
    once = right.project_output(heads_output)
    yield "the output projection is applied twice", right.project_output(unflatten(once, -1, split).transpose(1, 2))
    # (batch, num_heads, seq, head_dim) seen as (batch, seq, features), which mixes tokens.
    mixed = unflatten(heads_output.reshape(merged.shape), -1, split).transpose(1, 2)
    early = right.project_output(mixed).reshape(shape).transpose(1, 2).flatten(2)
    yield "the output projection is applied before the heads are put side by side", early


def values_projected_as_output(right: Projections) -> Iterator[tuple[str, Projections]]:
    """Yield the projections of a layer whose output projection is applied to the values."""
    if right.w_o is None or right.w_v.shape[1:] != right.w_o.shape[:2] or right.w_v[0].numel() != right.w_o.shape[-1]:
        return
    weight = unflatten(right.w_v.flatten(1) @ right.w_o.flatten(0, 1), -1, tuple(right.w_v.shape[1:]))
    bias = None if right.b_v is None else right.b_v.flatten() @ right.w_o.flatten(0, 1)
    bias = right.b_o if bias is None or right.b_o is None else bias + right.b_o
    split = None if bias is None else bias.reshape(right.w_v.shape[1:])
    words = "the output projection is applied to the values, and not to the output of the heads"
    yield words, replace(right, w_v=weight, b_v=split, w_o=None, b_o=None)


def other_texts(queries: Tensor, keys: Tensor) -> Iterator[tuple[str, tuple[Tensor, Tensor, Tensor]]]:
    """Yield hidden states of query, key and value, made from the wrong one of two texts, each with its words."""
    yield "the output is that of the queries' own text", (queries, queries, queries)
    yield "the keys are made from the text of the queries", (queries, queries, keys)
    yield "the values are made from the text of the queries", (queries, keys, queries)
    yield "the queries are made from the text of the keys", (keys, keys, keys)
    yield "queries and keys are made from each other's text", (keys, queries, keys)


def _transposed(right: Projections, letter: str) -> Tensor | None:
    """The matrix of a projection transposed, in its own shape; None where it is not square."""
    tensor: Tensor | None = getattr(right, f"w_{letter}")
    if tensor is None:
        return None
    matrix = tensor.flatten(0, 1) if letter == "o" else tensor.flatten(1)
    return matrix.T.reshape(tensor.shape) if matrix.shape[0] == matrix.shape[1] else None
