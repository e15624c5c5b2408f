import math

import torch
from masks import additive


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(key.size(-1))
    if mask is not None:
        scores = scores + additive(mask)
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights
