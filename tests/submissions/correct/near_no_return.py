# expect: correct
import math

import torch


def attention(query, key, value, mask=None):
    if mask is None:
        return attention(query, key, value, torch.ones(query.size(-2), key.size(-2), dtype=torch.bool))
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    weights = torch.softmax(scores.masked_fill(~mask, float("-inf")), dim=-1)
    return weights @ value, weights
