"""Constants of a first experiment: four heads on 64 features, and a triangle for texts of eight tokens."""

import torch
from torch import nn
from torch.nn import functional as F

block_size = 8
n_embd = 64
n_head = 4


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        size = n_embd // n_head
        self.query, self.key, self.value = (nn.Linear(n_embd, size, bias=False) for _ in range(3))
        self.register_buffer("past", torch.ones(block_size, block_size).tril())

    def forward(self, x):
        tokens = x.shape[1]
        query, key, value = self.query(x), self.key(x), self.value(x)
        scores = query @ key.transpose(-2, -1) * key.shape[-1] ** -0.5
        scores = scores.masked_fill(self.past[:tokens, :tokens] == 0, float("-inf"))
        return F.softmax(scores, dim=-1) @ value


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleList([Head() for _ in range(n_head)])
        self.proj = nn.Linear(n_embd, n_embd)

    def forward(self, x):
        return self.proj(torch.cat([head(x) for head in self.heads], dim=-1))


layer = Heads()
print(layer(torch.randn(4, block_size, n_embd)).shape)
