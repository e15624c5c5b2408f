# expect: float32-mixed-in
import math

import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, dim, n_heads, max_seq_len=1024):
        super().__init__()
        self.n_heads, self.head_dim = n_heads, dim // n_heads
        self.wq, self.wk, self.wv, self.wo = (nn.Linear(dim, dim) for _ in range(4))
        self.keys = torch.zeros(8, max_seq_len, n_heads, self.head_dim)
        self.values = torch.zeros(8, max_seq_len, n_heads, self.head_dim)

    def forward(self, x, start_pos=0):
        b, t, _ = x.shape
        end = start_pos + t
        q = self.wq(x).view(b, t, self.n_heads, self.head_dim).transpose(1, 2)
        self.keys[:b, start_pos:end] = self.wk(x).view(b, t, self.n_heads, self.head_dim)
        self.values[:b, start_pos:end] = self.wv(x).view(b, t, self.n_heads, self.head_dim)
        k, v = self.keys[:b, :end].transpose(1, 2), self.values[:b, :end].transpose(1, 2)
        scores = q @ k.transpose(2, 3) / math.sqrt(self.head_dim)
        scores = scores + torch.full((t, end), float("-inf")).triu(start_pos + 1)
        out = scores.softmax(-1) @ v
        return self.wo(out.transpose(1, 2).reshape(b, t, -1))
