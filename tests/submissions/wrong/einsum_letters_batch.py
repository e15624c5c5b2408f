# expect: einsum-letters
import math

import torch
from torch import nn


class SelfAttention(nn.Module):
    def __init__(self, embed_dim, num_heads):
        super().__init__()
        self.num_heads, self.head_dim = num_heads, embed_dim // num_heads
        self.queries = nn.Linear(embed_dim, embed_dim)
        self.keys = nn.Linear(embed_dim, embed_dim)
        self.values = nn.Linear(embed_dim, embed_dim)
        self.fc_out = nn.Linear(embed_dim, embed_dim)

    def forward(self, x, mask=None):
        n, length, _ = x.shape
        q, k, v = (
            layer(x).reshape(n, length, self.num_heads, self.head_dim)
            for layer in (self.queries, self.keys, self.values)
        )
        energy = torch.einsum("nqhd,nkhd->nhqk", q, k)
        if mask is not None:
            energy = energy.masked_fill(mask == 0, float("-1e20"))
        weights = torch.softmax(energy / math.sqrt(self.head_dim), dim=3)
        out = torch.einsum("nhqk,mkhd->nqhd", weights, v)
        return self.fc_out(out.flatten(2))
