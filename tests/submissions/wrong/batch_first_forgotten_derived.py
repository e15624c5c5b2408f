# expect: batch-first-forgotten
import torch
from torch import nn


class CausalAttention(nn.MultiheadAttention):
    """Causal attention on hidden states of shape (batch, seq, features)."""

    def __init__(self, d_model, n_heads):
        super().__init__(d_model, n_heads)

    def forward(self, x):
        length = x.size(0)
        blocked = torch.ones(length, length, dtype=torch.bool).triu(1)
        return super().forward(x, x, x, attn_mask=blocked)[0]
