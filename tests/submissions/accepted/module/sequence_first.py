"""(T, B, C) throughout, in_proj_weight as one parameter; causal by itself."""
import torch
from torch import nn


class SelfAttention(nn.Module):
    def __init__(self, embed_dim, num_heads):
        super().__init__()
        self.h = num_heads
        self.in_proj_weight = nn.Parameter(torch.randn(3 * embed_dim, embed_dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * embed_dim))
        self.out_proj = nn.Linear(embed_dim, embed_dim)

    def forward(self, x):
        T, B, C = x.shape
        q, k, v = (x @ self.in_proj_weight.t() + self.in_proj_bias).chunk(3, -1)
        q, k, v = (t.reshape(T, B * self.h, C // self.h).transpose(0, 1) for t in (q, k, v))
        s = torch.bmm(q, k.transpose(1, 2)) / (C // self.h) ** 0.5
        s = s + torch.full((T, T), float("-inf")).triu(1).to(s)
        o = torch.bmm(s.softmax(-1), v).transpose(0, 1).reshape(T, B, C)
        return self.out_proj(o)
