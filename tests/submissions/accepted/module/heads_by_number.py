"""q0, k0, v0, q1, …: attributes numbered by head; nx for the width, and scale=False for the division."""

import math

import torch
from torch import nn


class NumberedHeads(nn.Module):
    def __init__(self, nx, n_heads, scale=False):
        super().__init__()
        self.n_heads, self.scale = n_heads, scale
        for head in range(n_heads):
            for name in "qkv":
                setattr(self, f"{name}{head}", nn.Linear(nx, nx // n_heads))
        self.out = nn.Linear(nx, nx)

    def forward(self, x, mask):
        outputs = []
        for head in range(self.n_heads):
            q, k, v = (getattr(self, f"{name}{head}")(x) for name in "qkv")
            scores = q @ k.transpose(1, 2)
            if self.scale:
                scores = scores / math.sqrt(q.size(-1))
            scores = scores.masked_fill(mask.squeeze(1) == 0, float("-inf"))
            outputs.append(torch.softmax(scores, -1) @ v)
        return self.out(torch.cat(outputs, -1))
