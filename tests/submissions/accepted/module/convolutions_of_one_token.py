"""Projections are convolutions with a kernel of one token, on (batch, features, seq)."""

import torch
from torch import Tensor, nn


class SelfAttention(nn.Module):
    def __init__(self, channels: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.conv_q = nn.Conv1d(channels, channels, 1)
        self.conv_k = nn.Conv1d(channels, channels, kernel_size=1)
        self.conv_v = nn.Conv1d(channels, channels, kernel_size=1)
        self.conv_o = nn.Conv1d(channels, channels, kernel_size=1)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        columns = x.transpose(1, 2)
        query, key, value = (
            conv(columns).unflatten(1, (self.n_heads, -1)).transpose(-2, -1)
            for conv in (self.conv_q, self.conv_k, self.conv_v)
        )
        scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        heads = torch.softmax(scores, dim=-1) @ value
        return self.conv_o(heads.transpose(-2, -1).flatten(1, 2)).transpose(1, 2)
