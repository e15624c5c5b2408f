"""(embed_dim, query_dim, kv_dim, num_heads): the widths of what is projected are chosen apart."""

import torch
from torch import nn


class CrossAttention(nn.Module):
    def __init__(self, embed_dim, query_dim, kv_dim, num_heads, output_dim=None):
        super().__init__()
        self.num_heads = num_heads
        self.q_proj = nn.Linear(query_dim, embed_dim)
        self.k_proj = nn.Linear(kv_dim, embed_dim)
        self.v_proj = nn.Linear(kv_dim, embed_dim)
        self.out_proj = nn.Linear(embed_dim, output_dim or query_dim)

    def forward(self, query, key, value, mask=None):
        query, key, value = (
            each.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for each in (self.q_proj(query), self.k_proj(key), self.v_proj(value))
        )
        scores = query @ key.mT / query.shape[-1] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(mask == 0, float("-inf"))
        return self.out_proj((torch.softmax(scores, dim=-1) @ value).transpose(1, 2).flatten(2))
