# expect: query-from-key
import math

import torch
from torch import nn


class MultiHeadedAttention(nn.Module):
    def __init__(self, h, d_model):
        super().__init__()
        self.h = h
        self.projections = nn.ModuleList(nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        batch = query.size(0)
        q, k, v = (
            layer(states).view(batch, -1, self.h, states.size(-1) // self.h).transpose(1, 2)
            for layer, states in zip(self.projections, (key, query, value))
        )
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))
        if mask is not None:
            scores = scores.masked_fill(mask == 0, -1e9)
        x = torch.softmax(scores, dim=-1) @ v
        return self.projections[-1](x.transpose(1, 2).reshape(batch, -1, self.h * x.size(-1)))
