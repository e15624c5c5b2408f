"""A helper of three arguments before the class, which is no attention: (tokens, size, step)."""
import math
import torch
from torch import nn


def sinusoids(n_position, d_hid, base=10000):
    angles = torch.arange(n_position)[:, None] / base ** (torch.arange(0, d_hid, 2) / d_hid)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


def make_windows(tokens, size, step):
    return tokens.unfold(0, size, step)


class SelfAttention(nn.Module):
    def __init__(self, d_model, n_heads):
        super().__init__()
        self.n, self.d = n_heads, d_model // n_heads
        self.qkv = nn.Linear(d_model, 3 * d_model)
        self.out = nn.Linear(d_model, d_model)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.n, self.d).permute(2, 0, 3, 1, 4)
        return self.out(nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, c))
