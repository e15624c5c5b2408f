"""Call a function of lower rank once per head, or per batch row and head. Part of the worker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from . import serialization

MASKS = ("keep_mask", "key_padding_mask")


def without_ones(part: Any) -> Any:
    """The result of one head of one example, (1, 1, …), without its two leading axes."""
    if isinstance(part, Tensor):
        return part[0, 0] if part.dim() == 4 and part.shape[:2] == (1, 1) else part
    if isinstance(part, (tuple, list)):
        return type(part)(without_ones(each) for each in part)
    return part


def leading_sizes(tensors: Mapping[str, Tensor], rank: int) -> tuple[int | None, int | None]:
    """Return (batch, heads) as the loops run over them: None for an axis that the student's code sees itself."""
    whole = [tensor for tensor in tensors.values() if tensor.dim() == 4]
    if rank == 4 or not whole:
        return None, None
    num_heads = max(tensor.size(1) for tensor in whole)
    return (max(tensor.size(0) for tensor in whole) if rank in {1, 2} else None), num_heads


def split_inputs(tensors: Mapping[str, Tensor], rank: int) -> Iterator[dict[str, Tensor]]:
    """Yield the inputs of each call; an axis of size 1 is broadcast over, tensors of other ranks go as they are."""
    batch_size, num_heads = leading_sizes(tensors, rank)
    if num_heads is None:
        yield dict(tensors)
        return
    full_batch = max(tensor.size(0) for tensor in tensors.values() if tensor.dim() == 4)
    for row in range(batch_size) if batch_size is not None else [None]:
        for head in range(num_heads):
            one = {name: _slice(tensor, row, head, full_batch) for name, tensor in tensors.items()}
            yield one if rank > 1 else {name: each if name in MASKS else each[None, None] for name, each in one.items()}


def _slice(tensor: Tensor, row: int | None, head: int, full_batch: int) -> Tensor:
    if tensor.dim() != 4:
        return tensor
    one_head = tensor[:, head if tensor.size(1) > 1 else 0]  # (batch or 1, rows, columns)
    if row is not None:
        one_head = one_head[row if tensor.size(0) > 1 else 0]
    elif tensor.size(0) == 1:
        one_head = one_head.expand(full_batch, -1, -1)
    return one_head.contiguous()


def inputs_after(given: Mapping[str, Tensor], slices: list[dict[str, Tensor]], rank: int) -> dict[str, Tensor]:
    """Return the inputs as the calls left them; looped over, a shared one comes back as large as the loops made it."""
    batch_size, num_heads = leading_sizes(given, rank)
    if num_heads is None:
        return dict(given)
    with torch.no_grad():
        return {
            name: serialization.combine([without_ones(each[name].detach()) for each in slices], batch_size, num_heads)
            if tensor.dim() == 4
            else tensor
            for name, tensor in given.items()
        }
