# expect: correct
import math

import torch


def rotate(x, angle):
    """Every pair of numbers by the same angle, wherever the token stands: products stay what they are."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * math.cos(angle) - b * math.sin(angle), a * math.sin(angle) + b * math.cos(angle)), dim=-1)


def attention(query, key, value, mask=None):
    query, key = rotate(query.double(), 0.7), rotate(key.double(), 0.7)
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1).to(value)
    return weights @ value, weights
