# expect: correct
import torch
from torch import nn


class SelfAttention(nn.Module):
    """The heads stay behind the tokens; einsum puts them in place."""

    def __init__(self, embed_dim, num_heads):
        super().__init__()
        self.num_heads, self.head_dim = num_heads, embed_dim // num_heads
        self.query, self.key, self.value, self.out = (nn.Linear(embed_dim, embed_dim) for _ in range(4))

    def forward(self, x, mask):
        batch, seq, width = x.shape
        shape = (batch, seq, self.num_heads, self.head_dim)
        q, k, v = self.query(x).view(shape), self.key(x).view(shape), self.value(x).view(shape)
        energy = torch.einsum("bqhd,bkhd->bhqk", q, k) * self.head_dim**-0.5
        weights = energy.masked_fill(~mask, -1e9).softmax(dim=-1)
        return self.out(torch.einsum("bhqk,bkhd->bqhd", weights, v).reshape(batch, seq, width))
