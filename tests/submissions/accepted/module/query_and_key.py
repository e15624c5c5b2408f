"""forward(query, key, mask): keys and values are both made from what is called the key."""

import math

import torch
from torch import nn


class TwoTextAttention(nn.Module):
    def __init__(self, hidden_size, num_heads):
        super().__init__()
        self.head_dim = hidden_size // num_heads
        self.q_layer = nn.Linear(hidden_size, hidden_size)
        self.k_layer = nn.Linear(hidden_size, hidden_size)
        self.v_layer = nn.Linear(hidden_size, hidden_size)
        self.out_layer = nn.Linear(hidden_size, hidden_size)

    def forward(self, query, key, mask):
        batch, length, hidden = query.shape
        queries = torch.stack(self.q_layer(query).split(self.head_dim, dim=-1), dim=1)
        keys = torch.stack(self.k_layer(key).split(self.head_dim, dim=-1), dim=1)
        values = torch.stack(self.v_layer(key).split(self.head_dim, dim=-1), dim=1)
        scores = torch.einsum("bhqd,bhkd->bhqk", queries, keys) / math.sqrt(self.head_dim)
        weights = torch.where(mask, scores, -torch.inf).softmax(-1)
        mixed = torch.einsum("bhqk,bhkd->bqhd", weights, values)
        return self.out_layer(mixed.reshape(batch, length, hidden))
