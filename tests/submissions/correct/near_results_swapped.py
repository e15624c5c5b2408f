# expect: correct
import math

import torch


def attention(query, key, value, mask=None, need_weights=True):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(mask == 0, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    results = weights, weights @ value
    return results[::-1] if need_weights else results[1]
