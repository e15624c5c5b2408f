# expect: correct
import math

import torch


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores + (1 - mask.to(scores.dtype)) * -1e9
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights
