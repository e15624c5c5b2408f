"""Compiled by torch.jit.script, which shows no signature."""
from typing import Optional

import torch
from torch import Tensor


@torch.jit.script
def attention(query: Tensor, key: Tensor, value: Tensor, mask: Optional[Tensor] = None):
    scores = torch.matmul(query, key.transpose(-2, -1)) * (query.size(-1) ** -0.5)
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    weights = torch.softmax(scores, dim=-1)
    return torch.matmul(weights, value), weights
