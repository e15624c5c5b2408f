# expect: scale-other
import math

import torch


def attention(query, key, value, mask=None):
    root = int(math.sqrt(key.size(-1)))
    scores = query @ key.transpose(-2, -1) / root
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights
