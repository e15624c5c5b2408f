"""Layouts of the heads in a function's query, key, value and output."""

from __future__ import annotations

from torch import Tensor

HEAD_LAYOUTS = ("(batch, heads, seq, head_dim)", "(batch, seq, heads, head_dim)", "(batch, seq, heads * head_dim)")
HEADS_FIRST, TOKENS_FIRST, SIDE_BY_SIDE = HEAD_LAYOUTS


def lay_out(tensor: Tensor, layout: str) -> Tensor:
    """Return a tensor ``(batch, heads, seq, head_dim)`` in one of `HEAD_LAYOUTS`."""
    if layout == HEADS_FIRST:
        return tensor
    turned = tensor.transpose(1, 2).contiguous()
    return turned.flatten(2) if layout == SIDE_BY_SIDE else turned


def heads_first(tensor: Tensor, layout: str, num_heads: int) -> Tensor:
    """Return a tensor of this layout as ``(batch, heads, seq, head_dim)``; one of another shape as it is."""
    if layout == SIDE_BY_SIDE and tensor.dim() == 3 and tensor.shape[-1] % num_heads == 0:
        tensor = tensor.reshape(*tensor.shape[:2], num_heads, -1)
    return tensor if layout == HEADS_FIRST or tensor.dim() != 4 else tensor.transpose(1, 2).contiguous()
