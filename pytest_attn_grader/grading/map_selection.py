"""Select the attention maps that a report keeps, so that its size is bounded for deep models and long prompts."""

from __future__ import annotations

import math

from torch import Tensor

from pytest_attn_grader.results.base import Matrix
from pytest_attn_grader.results.comparison import AttentionMap

# About half a megabyte of JSON.
MAX_WEIGHTS = 50_000
# Decimals of a weight; the metrics are computed before rounding.
DECIMALS = 6


def select_maps(reference: Tensor, student: Tensor, layer_idx: int) -> tuple[tuple[AttentionMap, ...], str]:
    """Return the maps to keep, and a sentence that says what was left out ("" for nothing).

    The graded layer is always kept, with all its heads. The other layers are kept evenly spaced as far as there is
    room. Of a long prompt the first tokens are kept.

    Args:
        reference, student: ``(num_layers, num_heads, tokens, tokens)``.
        layer_idx: the graded layer.
    """
    num_layers, num_heads, tokens, _ = reference.shape
    kept_tokens = min(tokens, math.isqrt(MAX_WEIGHTS // (2 * num_heads)))
    layers = select_layers(num_layers, layer_idx, max(1, MAX_WEIGHTS // (2 * num_heads * kept_tokens**2)))
    maps = tuple(
        AttentionMap(
            layer=layer,
            head=head,
            reference=_rounded(reference[layer, head, :kept_tokens, :kept_tokens]),
            student=_rounded(student[layer, head, :kept_tokens, :kept_tokens]),
        )
        for layer in layers
        for head in range(num_heads)
    )
    kept = []
    if len(layers) < num_layers:
        kept.append(f"layers {', '.join(map(str, layers))}")
    if kept_tokens < tokens:
        kept.append(f"the first {kept_tokens} tokens")
    return maps, f"To bound its size, the report has attention maps of {' and '.join(kept)} only." if kept else ""


def select_layers(num_layers: int, layer_idx: int, count: int) -> list[int]:
    """Return `count` layers, evenly spaced up to the last one, and always the graded layer."""
    if count >= num_layers:
        return list(range(num_layers))
    others = [layer for layer in range(num_layers) if layer != layer_idx]
    spaced = [others[round(part * len(others) / (count - 1)) - 1] for part in range(1, count)]
    return sorted({layer_idx, *spaced})


def _rounded(weights: Tensor) -> Matrix:
    return [[round(weight, DECIMALS) for weight in row] for row in weights.tolist()]
