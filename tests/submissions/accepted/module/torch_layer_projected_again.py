"""torch.nn.MultiheadAttention, which projects its output, and a second projection after it."""

import torch
from torch import nn


class CausalAttention(nn.Module):
    def __init__(self, width, heads, context_length):
        super().__init__()
        self.inner = nn.MultiheadAttention(width, heads, batch_first=True)
        self.proj = nn.Linear(width, width)
        self.register_buffer("future", torch.ones(context_length, context_length, dtype=torch.bool).triu(1))

    def forward(self, x):
        tokens = x.shape[1]
        output, _ = self.inner(x, x, x, attn_mask=self.future[:tokens, :tokens], need_weights=False)
        return self.proj(output)
