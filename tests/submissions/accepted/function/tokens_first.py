"""Heads after the tokens, (batch, seq, heads, head_dim), as the docstring of forward says; a module without parameters."""
import torch
from torch import nn


class DotProductAttention(nn.Module):
    def __init__(self, dropout: float = 0.0):
        super().__init__()
        self.dropout = nn.Dropout(dropout)

    def forward(self, q, k, v, mask=None):
        """Attend.

        q, k, v: (batch, seq_len, num_heads, head_dim); the output has the same shape.
        """
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) * q.size(-1) ** -0.5
        if mask is not None:
            scores = scores.masked_fill(mask == 0, float("-inf"))
        weights = self.dropout(scores.softmax(dim=-1))
        return torch.einsum("bhqk,bkhd->bqhd", weights, v), weights
