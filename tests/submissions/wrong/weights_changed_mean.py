# expect: weights-changed
import math

import torch


def attention(query, key, value, mask=None):
    scores = (query.unsqueeze(-2) * key.unsqueeze(-3)).sum(-1) / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    weights = scores.softmax(dim=-1)
    output = (weights.unsqueeze(-1) * value.unsqueeze(-3)).mean(dim=-2)
    return output, weights
