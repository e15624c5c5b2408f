# expect: correct
import math

import torch
from torch import nn


class MultiHeadAttention(nn.Module):
    """The values may be left out: then the keys' states are theirs."""

    def __init__(self, d_model, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, query, key=None, value=None, mask=None):
        key = query if key is None else key
        value = key if value is None else value
        q, k, v = (
            layer(states).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for layer, states in ((self.q, query), (self.k, key), (self.v, value))
        )
        scores = torch.matmul(q, k.mT) / math.sqrt(q.shape[-1])
        if mask is not None:
            scores = scores.masked_fill(mask == 0, float("-inf"))
        return self.o((scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(2))
