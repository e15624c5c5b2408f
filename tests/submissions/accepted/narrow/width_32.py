"""32 wide, with an output projection, causal by itself."""
import torch
from torch import nn


class TinyAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(32, 96, bias=False)
        self.out = nn.Linear(32, 32, bias=False)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, -1)
        s = q @ k.mT / 32**0.5
        n = x.shape[1]
        s = s.masked_fill(torch.ones(n, n).triu(1).bool(), float("-inf"))
        return self.out(s.softmax(-1) @ v)
