# expect: qk-norm
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, dim, n_heads):
        super().__init__()
        self.n_heads, self.head_dim = n_heads, dim // n_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.q_norm, self.k_norm = nn.LayerNorm(self.head_dim), nn.LayerNorm(self.head_dim)

    def forward(self, x):
        batch, seq, width = x.shape
        heads = (batch, seq, self.n_heads, self.head_dim)
        query, key, value = (part.reshape(heads).transpose(1, 2) for part in self.qkv(x).split(width, dim=-1))
        scores = self.q_norm(query) @ self.k_norm(key).transpose(-1, -2) / self.head_dim**0.5
        scores = scores.masked_fill(torch.ones(seq, seq, dtype=torch.bool).triu(1), float("-inf"))
        return self.out((scores.softmax(dim=-1) @ value).transpose(1, 2).reshape(batch, seq, width))
