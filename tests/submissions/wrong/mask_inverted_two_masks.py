# expect: mask-inverted
import torch
from torch import nn


class Attention(nn.Module):
    """Both masks are read as "True = may not attend"."""

    def __init__(self, embed_dim, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.q, self.k, self.v, self.out = (nn.Linear(embed_dim, embed_dim) for _ in range(4))

    def forward(self, query, key, value, key_padding_mask=None, attn_mask=None):
        q, k, v = (
            layer(states).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for layer, states in ((self.q, query), (self.k, key), (self.v, value))
        )
        scores = q @ k.mT * q.shape[-1] ** -0.5
        if attn_mask is not None:
            scores = scores.masked_fill(attn_mask.bool(), float("-inf"))
        if key_padding_mask is not None:
            scores = scores.masked_fill(key_padding_mask.bool()[:, None, None, :], float("-inf"))
        weights = torch.nan_to_num(scores.softmax(dim=-1))
        return self.out((weights @ v).transpose(1, 2).flatten(2)), weights
