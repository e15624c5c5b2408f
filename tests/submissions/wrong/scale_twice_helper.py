# expect: scale-twice
import math

import torch


def scaled(tensor):
    return tensor / math.sqrt(tensor.size(-1))


def attention(query, key, value, mask=None):
    query = scaled(query)
    scores = (query @ key.transpose(-2, -1)) / math.sqrt(key.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return weights @ value
