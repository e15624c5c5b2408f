"""Heads(count, size): how many heads and how large, in names that say little; the width of 96 is a constant."""

import torch
import torch.nn.functional as F
from torch import nn

WIDTH = 96
LONGEST = 512


class OneHead(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.size = size
        self.to_query = nn.Linear(WIDTH, size, bias=False)
        self.to_key = nn.Linear(WIDTH, size, bias=False)
        self.to_value = nn.Linear(WIDTH, size, bias=False)

    def forward(self, x):
        length = x.shape[-2]
        later = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        scores = self.to_query(x) @ self.to_key(x).mT * self.size**-0.5
        return F.softmax(scores.masked_fill(later, -torch.inf), dim=-1) @ self.to_value(x)


class AttentionHeads(nn.Module):
    def __init__(self, count, size):
        super().__init__()
        self.each = nn.ModuleList([OneHead(size) for _ in range(count)])
        self.joined = nn.Linear(count * size, WIDTH)

    def forward(self, x):
        return self.joined(torch.cat([head(x) for head in self.each], dim=-1))
