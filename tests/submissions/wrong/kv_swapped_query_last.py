# expect: kv-swapped
import torch
from torch import nn


class SelfAttention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, dim * 3)
        self.out = nn.Linear(dim, dim)

    def forward(self, x):
        b, t, c = x.shape
        v, k, q = self.qkv(x).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5
        scores = scores + torch.full((t, t), float("-inf"), dtype=x.dtype).triu(1)
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, c))
