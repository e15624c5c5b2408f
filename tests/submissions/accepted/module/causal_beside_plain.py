"""Two modules that do not use each other: in a language model the one is graded that hides the future."""

import torch
from torch import nn


class EncoderAttention(nn.Module):
    def __init__(self, d_model, n_heads):
        super().__init__()
        self.n_heads = n_heads
        self.in_proj = nn.Linear(d_model, 3 * d_model)
        self.out_proj = nn.Linear(d_model, d_model)

    def forward(self, x):
        query, key, value = (
            part.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for part in self.in_proj(x).chunk(3, dim=-1)
        )
        weights = (query @ key.mT / query.shape[-1] ** 0.5).softmax(dim=-1)
        return self.out_proj((weights @ value).transpose(1, 2).flatten(2))


class DecoderAttention(nn.Module):
    def __init__(self, d_model, n_heads):
        super().__init__()
        self.n_heads = n_heads
        self.in_proj = nn.Linear(d_model, 3 * d_model)
        self.out_proj = nn.Linear(d_model, d_model)

    def forward(self, x):
        query, key, value = (
            part.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for part in self.in_proj(x).chunk(3, dim=-1)
        )
        past = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
        scores = query @ key.mT / query.shape[-1] ** 0.5
        weights = scores.masked_fill(~past, float("-inf")).softmax(dim=-1)
        return self.out_proj((weights @ value).transpose(1, 2).flatten(2))
