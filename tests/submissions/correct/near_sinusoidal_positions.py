# expect: correct
import math

import torch


def attention(query, key, value, mask=None, positions=None):
    if positions is not None:
        query, key = query + positions, key + positions
    weights = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        weights.masked_fill_(~mask, float("-inf"))
    weights = torch.softmax(weights, dim=-1)
    return weights @ value, weights
