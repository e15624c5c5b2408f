"""Rotate query and key by their positions. Source: Su et al., "RoFormer", 2021."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

# The base of the embedded model, of the paper and of most code.
BASE = 10_000.0

Pairing = Literal["halves", "neighbours"]


@dataclass(frozen=True)
class Rotation:
    """A rotation of query and key by their positions.

    Args:
        pairing: ``halves``: dimension i turns with i + head_dim / 2, as transformers pairs them; ``neighbours``:
            2 i turns with 2 i + 1, as in the paper.
        base: pair i turns by position * base ** (-2 i / head_dim).
    """

    pairing: Pairing
    base: float

    @property
    def pairs(self) -> str:
        """The pairs of dimensions, in words."""
        return "dimension i with i + head_dim / 2" if self.pairing == "halves" else "dimension 2 i with 2 i + 1"

    def __str__(self) -> str:
        return f"it rotates query and key by their positions, {self.pairs}, base {self.base:g}"


def rotate(states: Tensor, rotation: Rotation, *, backwards: bool = False, first_position: int = 0) -> Tensor:
    """Rotate query or key by its positions.

    Args:
        states: ``(..., seq_len, head_dim)``, head_dim even.
        rotation: pairing and base.
        backwards: undo the rotation instead.
        first_position: of the first token.

    Returns:
        The same shape and dtype; differentiable.
    """
    seq_len, head_dim = states.shape[-2:]
    positions = torch.arange(first_position, first_position + seq_len, device=states.device, dtype=torch.float64)
    exponents = torch.arange(0, head_dim, 2, device=states.device, dtype=torch.float64) / head_dim
    angles = positions[:, None] * rotation.base**-exponents  # (seq_len, head_dim / 2)
    cos, sin = angles.cos().to(states.dtype), angles.sin().to(states.dtype)
    if backwards:
        sin = -sin
    if rotation.pairing == "halves":
        first, second = states.chunk(2, dim=-1)
        return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
    first, second = states[..., 0::2], states[..., 1::2]
    return torch.stack([first * cos - second * sin, second * cos + first * sin], dim=-1).flatten(-2)


def rotate_both(
    query: Tensor, key: Tensor, rotation: Rotation | None, *, backwards: bool = False
) -> tuple[Tensor, Tensor]:
    """Rotate query and key, or undo it; the last query is at the last key. None leaves them as they are."""
    if rotation is None:
        return query, key
    past = key.shape[-2] - query.shape[-2]
    return (
        rotate(query, rotation, backwards=backwards, first_position=past),
        rotate(key, rotation, backwards=backwards),
    )
