# expect: cosine-scores
import math

import torch


def unit(x):
    return x / x.norm(dim=-1, keepdim=True)


def attention(query, key, value, mask=None):
    scores = unit(query) @ unit(key).transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights
