"""A function that is right, and a module whose list of copies holds one layer four times."""
# message: one layer in several places: linears\.0, linears\.1, .* same object, and share their weights.*copy\.deepcopy
import math

import torch
from torch import nn


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -1e9)
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights


def clones(layer, number):
    return nn.ModuleList([layer for _ in range(number)])


class MultiHeadedAttention(nn.Module):
    def __init__(self, h, d_model):
        super().__init__()
        self.h, self.d_k = h, d_model // h
        self.linears = clones(nn.Linear(d_model, d_model), 4)

    def forward(self, query, key, value, mask=None):
        batch = query.size(0)
        query, key, value = (
            layer(states).view(batch, -1, self.h, self.d_k).transpose(1, 2)
            for layer, states in zip(self.linears, (query, key, value))
        )
        output, self.attn = attention(query, key, value, mask)
        return self.linears[-1](output.transpose(1, 2).reshape(batch, -1, self.h * self.d_k))
