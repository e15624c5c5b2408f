# expect: groups-tiled
import math

import torch
from torch import nn


class GroupedAttention(nn.Module):
    """Fewer heads for keys and values than for queries."""

    def __init__(self, d_model, num_heads, num_kv_heads):
        super().__init__()
        self.num_heads, self.num_kv_heads, self.head_dim = num_heads, num_kv_heads, d_model // num_heads
        self.W_q = nn.Linear(d_model, d_model)
        self.W_k = nn.Linear(d_model, num_kv_heads * self.head_dim)
        self.W_v = nn.Linear(d_model, num_kv_heads * self.head_dim)
        self.W_o = nn.Linear(d_model, d_model)

    def forward(self, x, mask=None):
        batch, length, _ = x.shape
        query = self.W_q(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        key = self.W_k(x).unflatten(-1, (self.num_kv_heads, -1)).transpose(1, 2)
        value = self.W_v(x).unflatten(-1, (self.num_kv_heads, -1)).transpose(1, 2)
        copies = self.num_heads // self.num_kv_heads
        key, value = torch.cat([key] * copies, dim=1), torch.cat([value] * copies, dim=1)
        scores = query @ key.transpose(-2, -1) / math.sqrt(self.head_dim)
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        context = torch.softmax(scores, dim=-1) @ value
        return self.W_o(context.transpose(1, 2).reshape(batch, length, -1))
