# expect: sinusoidal-positions
import math

import torch


def positions(n, d, offset=0):
    angle = (torch.arange(n) + offset)[:, None] * 10000 ** (-torch.arange(0, d, 2) / d)
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(-2)


def attention(query, key, value, mask=None):
    d = query.size(-1)
    query = query + positions(query.size(-2), d, key.size(-2) - query.size(-2)).to(query)
    value = value + positions(key.size(-2), d).to(key)
    key = key + positions(key.size(-2), d).to(key)
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights
