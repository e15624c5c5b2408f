"""QK-norm: an RMSNorm of query and key between their projections and the scores, and the rotation that follows it.

Sources: Henry et al., "Query-Key Normalization for Transformers", 2020; Zhang and Sennrich, "Root Mean Square Layer
Normalization", 2019. Qwen3 and Gemma 3 normalise each head, OLMo 2 all heads side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pytest_attn_grader.attention.rotation import Rotation, rotate_both

NormAxis = Literal["head_dim", "width"]
_FACTOR, _HALF_PRECISION_FACTOR = 1024.0, 16.0


def normalise(states: Tensor, over: NormAxis) -> Tensor:
    """Divide query or key ``(batch, num_heads, seq_len, head_dim)`` by its root mean square."""
    return normalise_over(states, (-1,) if over == "head_dim" else (-3, -1))


def normalise_over(states: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Divide by the root mean square over any axes."""
    mean_square = states.square().mean(axes, keepdim=True)
    return states * mean_square.clamp_min(torch.finfo(states.dtype).tiny).rsqrt()


def enlarge(states: Tensor) -> Tensor:
    """Make query or key so large that the epsilon of a submission's norm is lost in rounding; a norm undoes it."""
    return states * (_HALF_PRECISION_FACTOR if states.dtype == torch.float16 else _FACTOR)


@dataclass(frozen=True)
class Preparation:
    """The steps between projections and scores: an RMSNorm of query and key with weights, then the rotation.

    Attributes:
        over: the axis of the mean: ``head_dim``, or ``width`` for all heads side by side.
        rotation: by positions, after the norm; None leaves it out.
    """

    over: NormAxis
    rotation: Rotation | None = None

    def weights(self, head_dim: int) -> tuple[Tensor, Tensor]:
        """The weights of the norms of query and key in probes, ``(1, 1, head_dim)`` each, in float64.

        They are eighths, which every floating dtype holds exactly, and differ from dimension to dimension.
        """
        dims = torch.arange(head_dim, dtype=torch.float64)
        query, key = (1 + ((dims * step + start) % 7 - 3) / 8 for step, start in ((5, 1), (3, 4)))
        return query[None, None], key[None, None]

    def __call__(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """Query and key as the scores need them; both ``(batch, num_heads, length, head_dim)``."""
        query_weight, key_weight = (weight.to(query) for weight in self.weights(query.shape[-1]))
        return self.rotate(query_weight * normalise(query, self.over), key_weight * normalise(key, self.over))

    def rotate(self, query: Tensor, key: Tensor, *, backwards: bool = False) -> tuple[Tensor, Tensor]:
        """Only the rotation, or its inverse; the last query is at the last key."""
        return rotate_both(query, key, self.rotation, backwards=backwards)
