"""The weights of an attention that does not return them: with the identity as value, the output is the weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def recover_weights(attend: Callable[[Tensor], Tensor], key: Tensor) -> Tensor:
    """Recover attention weights from outputs.

    A value is only head_dim wide, so longer sequences take one call for every head_dim keys.

    Args:
        attend: attention output for a value, ``(batch, num_heads, query_len, head_dim)``.
        key: ``(batch, num_heads, key_len, head_dim)``; the values have its shape, dtype and device.

    Returns:
        ``(batch, num_heads, query_len, key_len)``. With dropout the weights are those of another draw.
    """
    key_len, head_dim = key.shape[-2:]
    columns = []
    for start in range(0, key_len, head_dim):
        width = min(head_dim, key_len - start)
        identity = torch.zeros_like(key)
        identity[..., range(start, start + width), range(width)] = 1
        columns.append(attend(identity)[..., :width])
    return torch.cat(columns, dim=-1)
