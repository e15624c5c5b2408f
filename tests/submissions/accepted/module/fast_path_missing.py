"""A library of kernels that is not installed is imported at the top, and used in a branch that is switched off."""
import math

import torch
from torch import nn

from fast_kernels_of_another_machine import attend_on_chip


class CausalAttention(nn.Module):
    def __init__(self, n_embd, n_head, use_fast=False):
        super().__init__()
        self.n_head, self.use_fast = n_head, use_fast
        self.qkv, self.proj = nn.Linear(n_embd, 3 * n_embd), nn.Linear(n_embd, n_embd)

    def forward(self, x):
        q, k, v = (part.unflatten(-1, (self.n_head, -1)) for part in self.qkv(x).chunk(3, dim=-1))
        if self.use_fast:
            return self.proj(attend_on_chip(q, k, v, causal=True).flatten(2))
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(q.size(-1))
        future = torch.ones(x.size(1), x.size(1), dtype=torch.bool, device=x.device).triu(1)
        weights = scores.masked_fill(future, float("-inf")).softmax(-1)
        return self.proj(torch.einsum("bhqk,bkhd->bqhd", weights, v).flatten(2))
