# expect: scale-inverted
import torch


def attention(query, key, value, mask=None):
    scale = 1.0 / query.size(-1) ** 0.5
    scores = torch.div(query @ key.transpose(-2, -1), scale)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1)
    return weights @ value, weights
