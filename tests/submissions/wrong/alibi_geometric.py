# expect: alibi
import math

import torch


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    slopes = 2.0 ** (-8.0 * torch.arange(1, query.size(1) + 1) / query.size(1))
    rows = torch.arange(key.size(-2) - query.size(-2), key.size(-2))[:, None]
    scores = scores - slopes.to(scores)[:, None, None] * (rows - torch.arange(key.size(-2)))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights
