"""One head with its projections, 64 dimensions wide: narrower than the model."""

import math

import torch


class Attention(torch.nn.Module):
    def __init__(self):  # type: ignore[no-untyped-def]
        super().__init__()
        self.query = torch.nn.Linear(64, 64)
        self.key = torch.nn.Linear(64, 64)
        self.value = torch.nn.Linear(64, 64)

    def forward(self, hidden_states, mask=None):  # type: ignore[no-untyped-def]
        query, key, value = self.query(hidden_states), self.key(hidden_states), self.value(hidden_states)
        attn_scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
        if mask is not None:
            attn_scores = attn_scores.masked_fill(~mask, float("-inf"))
        attn_weights = torch.softmax(attn_scores, dim=-1)
        return attn_weights @ value, attn_weights
