# expect: correct
import math

import torch


def softmax(x):
    top, _ = torch.max(x, -1, keepdim=True)
    e = torch.exp(x - top.detach())
    return e / e.sum(-1, keepdim=True)


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    weights = softmax(scores)
    return weights @ value, weights
