"""Find the QK-norm of a layer: which modules normalise query and key, over what, and with which weights.

It is derived from the layer's modules and proven: with these weights the projections of the hidden states have to give
the query and the key that the layer's attention was called with. What does not is not taken for a QK-norm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pytest_attn_grader.attention.query_key_norm import NormAxis, normalise
from pytest_attn_grader.attention.rotation import Rotation, rotate

# The names of the modules in transformers' attention classes.
_NAMES = (("q_norm", "k_norm"), ("q_layernorm", "k_layernorm"), ("query_layernorm", "key_layernorm"))
# So large that the epsilon in a root of squares is lost beside it.
_LARGE = 1024.0
_SAME = 1e-3


@dataclass(frozen=True)
class QueryKeyNorm:
    """The RMSNorm of query and key in one layer.

    Attributes:
        over: the axis of the mean.
        query_weight: ``(1 or num_heads, 1, head_dim)``, times what the layer's scaling is to ``1 / sqrt(head_dim)``.
        key_weight: ``(1 or num_key_value_heads, 1, head_dim)``.
    """

    over: NormAxis
    query_weight: Tensor
    key_weight: Tensor


@torch.no_grad()
def find_query_key_norm(
    attention: Any, hidden_states: Tensor, query: Tensor, key: Tensor, *, rotary_base: float | None
) -> QueryKeyNorm | None:
    """Find and prove the QK-norm of a layer; None where it has none, or another kind of norm, order or rotation.

    Args:
        attention: the module, with the separate projections `q_proj` and `k_proj`.
        hidden_states: what it was called with, ``(1, seq_len, hidden_size)``.
        query, key: what its attention function was called with, ``(1, heads, seq_len, head_dim)``.
        rotary_base: of the rotation that follows the norm.
    """
    found = next(
        ([getattr(attention, each, None) for each in names] for names in _NAMES if hasattr(attention, names[0])), []
    )
    if len(found) != 2 or rotary_base is None or not all(hasattr(attention, name) for name in ("q_proj", "k_proj")):
        return None
    rotation = Rotation("halves", rotary_base)
    parts: list[tuple[NormAxis, Tensor]] = []
    for norm, projection, expected in zip(found, (attention.q_proj, attention.k_proj), (query, key), strict=True):
        over, weight = _read_weight(norm, expected)
        if over is None or weight is None:
            return None
        projected = projection(hidden_states).reshape(*hidden_states.shape[:2], *expected.shape[1::2]).transpose(1, 2)
        prepared = rotate(weight * normalise(projected, over), rotation)
        factor = float((prepared * expected).sum() / prepared.square().sum())
        if not torch.allclose(factor * prepared, expected, rtol=_SAME, atol=_SAME * float(expected.abs().max())):
            return None
        parts.append((over, factor * weight))
    (over, query_weight), (key_over, key_weight) = parts
    return QueryKeyNorm(over, query_weight, key_weight) if over == key_over else None


def _read_weight(norm: nn.Module | None, states: Tensor) -> tuple[NormAxis, Tensor] | tuple[None, None]:
    """The axis of an RMSNorm and the weight that it multiplies by, whatever it adds to its parameter."""
    parameters = [] if norm is None else list(norm.parameters())
    if norm is None or len(parameters) != 1:
        return None, None
    _, num_heads, _, head_dim = states.shape
    size = parameters[0].numel()
    if size not in {head_dim, num_heads * head_dim}:
        return None, None
    # A vector of equal numbers has their size as its root mean square.
    weight: Tensor = norm(torch.full((1, size), _LARGE, dtype=states.dtype, device=states.device))
    over: NormAxis = "head_dim" if size == head_dim else "width"
    return over, weight.reshape(-1, 1, head_dim)
