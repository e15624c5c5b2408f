"""Projections in a ModuleDict; a dataclass comes back; q, k, v in one comprehension."""
from dataclasses import dataclass

import torch
from torch import nn


@dataclass
class Result:
    output: torch.Tensor
    attention: torch.Tensor


class Attention(nn.Module):
    def __init__(self, model_dim, n_heads, head_dim=None):
        super().__init__()
        head_dim = head_dim or model_dim // n_heads
        self.sizes = (n_heads, head_dim)
        self.projections = nn.ModuleDict({n: nn.Linear(model_dim, n_heads * head_dim) for n in ("query", "key", "value")})
        self.projections["output"] = nn.Linear(n_heads * head_dim, model_dim)

    def forward(self, inp, mask=None):
        q, k, v = [self.projections[n](inp).unflatten(2, self.sizes).movedim(2, 1) for n in ("query", "key", "value")]
        a = q @ k.mT / self.sizes[1] ** 0.5
        a = (a if mask is None else a.masked_fill(~mask, -1e9)).softmax(-1)
        return Result(self.projections["output"]((a @ v).movedim(1, 2).flatten(2)), a)
