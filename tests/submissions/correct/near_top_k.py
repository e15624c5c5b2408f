# expect: correct
import math

import torch


def attention(query, key, value, mask=None):
    """Weights by falling score, each put back at its key: all keys take part."""
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    best, where = scores.topk(scores.size(-1), dim=-1)
    weights = torch.zeros_like(scores).scatter(-1, where, best.softmax(-1))
    return weights @ value, weights
