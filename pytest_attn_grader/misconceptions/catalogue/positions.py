"""Positions that query and key should not get, because the model has them already, or should get and do not."""

from __future__ import annotations

from dataclasses import replace
from typing import NoReturn

import torch
from torch import Tensor

from pytest_attn_grader.attention.rotation import Rotation, rotate
from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.observations import Recognition, SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride


def _angles(length: int, offset: int, head_dim: int, base: float) -> Tensor:
    frequencies = base ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    return (torch.arange(length, dtype=torch.float64) + offset)[:, None] * frequencies  # (length, head_dim / 2)


def _rotated(tensor: Tensor, offset: int, base: float, *, halves: bool) -> Tensor:
    return rotate(tensor, Rotation("halves" if halves else "neighbours", base), first_position=offset)


def _rotating(
    note: str, *, halves: bool, base: float = 10000.0, aligned: bool = True, value: bool = False
) -> StageOverride:
    def prepare(inputs: Inputs) -> Inputs:
        offset = inputs.key.shape[-2] - inputs.query.shape[-2] if aligned else 0
        return replace(
            inputs,
            query=_rotated(inputs.query, offset, base, halves=halves),
            key=_rotated(inputs.key, 0, base, halves=halves),
            value=_rotated(inputs.value, 0, base, halves=halves) if value else inputs.value,
        )

    return StageOverride({"prepare": prepare}, note)


_USUAL = _rotating("halves", halves=True)


@misconception(
    "AG421",
    "rotary-positions",
    replaces="prepare",
    family="wiring",
    rotary=False,
    variants=tuple(
        _rotating(f"{'halves' if halves else 'pairs'}, base {base:g}{note}", halves=halves, base=base, **more)
        for base in (10000.0, 500000.0, 1000000.0)
        for halves in (True, False)
        for note, more in (("", {}), (", both from 0", {"aligned": False}), (", value too", {"value": True}))
    ),
)
def rotary_positions(inputs: Inputs) -> Inputs:
    """rotates query and key by their positions (rotary embeddings), which this model does itself or does otherwise.

    Rotary embeddings tell a model where a token stands. A GPT-2 adds learned positions to its embeddings before the
    first layer, and a Llama has rotated query and key before it hands them to an attention function. Rotated once more,
    they no longer match what was trained.

    Bad:
        query, key = apply_rotary(query, cos, sin), apply_rotary(key, cos, sin)
    Good:
        attn_scores = query @ key.transpose(-2, -1) / math.sqrt(head_dim)

    Effect: Right for a single token; all other scores are turned by the distance between query and key.
    Nudge: Which step of your code knows at which position a token stands?
    Fix: Leave the rotation out. Where learning it is the exercise, hand in a module with projections and grade it in a
    model with rotary positions (--attn-model=mini-llama).
    """
    result: Inputs = _USUAL.stages["prepare"](inputs)
    return result


def _encoding(length: int, offset: int, head_dim: int) -> Tensor:
    angles = _angles(length, offset, head_dim, 10000.0)
    return torch.stack((angles.sin(), angles.cos()), -1).flatten(-2)


def _adding(*names: str) -> StageOverride:
    def prepare(inputs: Inputs) -> Inputs:
        offsets = {"query": inputs.key.shape[-2] - inputs.query.shape[-2]}
        added = {}
        for name in names:
            tensor: Tensor = getattr(inputs, name)
            added[name] = tensor + _encoding(tensor.shape[-2], offsets.get(name, 0), tensor.shape[-1]).to(tensor)
        return replace(inputs, **added)  # type: ignore[arg-type]  # the names are those of tensors

    return StageOverride({"prepare": prepare}, " and ".join(names))


@misconception(
    "AG422",
    "sinusoidal-positions",
    replaces="prepare",
    family="wiring",
    variants=(_adding("query", "key", "value"), _adding("key"), _adding("query")),
)
def sinusoidal_positions(inputs: Inputs) -> Inputs:
    """adds a positional encoding to query and key.

    The model has added its positions to the embeddings once, before the first layer. Added inside the attention again,
    they change every score.

    Bad:
        query, key = query + positions, key + positions
    Good:
        attn_scores = query @ key.transpose(-2, -1) / math.sqrt(head_dim)

    Effect: Scores that depend on where tokens stand more than the model was trained for.
    Nudge: What is added to query and key?
    Fix: Leave positions to the model's embeddings.
    """
    result: Inputs = _adding("query", "key").stages["prepare"](inputs)
    return result


def _does_not_rotate(case: SubmissionObservations) -> Recognition | None:
    return case.raised("its output does not depend on positions", "another order of the earlier tokens changes nothing")


@misconception(
    "AG446", "rotary-forgotten", replaces="prepare", family="rotary", by_numbers=False, recognise=_does_not_rotate
)
def rotary_forgotten(_: Inputs) -> NoReturn:
    """is given rotary positions, or makes them, and its scores do not depend on them.

    Scores of query and key say what tokens are, not where they stand. In a model with rotary positions the rotation of
    query and key inside the attention is the only place where positions come in.

    Bad:
        cos, sin = position_embeddings
        attn_scores = query @ key.transpose(-2, -1)
    Good:
        cos, sin = position_embeddings
        query, key = apply_rotary(query, cos, sin), apply_rotary(key, cos, sin)
        attn_scores = query @ key.transpose(-2, -1)

    Effect: The order of the words is lost: heads that look one token back find nothing.
    Nudge: Where are the positions used that your module is given or makes?
    Fix: Rotate query and key, after the heads are split and before the scores are computed.
    """
    raise TypeError("its output does not depend on positions")
