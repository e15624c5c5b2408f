# expect: wrong-variable
import torch


def attention(query, key, value, mask=None):
    raw = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    weights = raw.softmax(-1)
    if mask is not None:
        masked = raw.masked_fill(~mask, float("-inf"))
        masked_weights = masked.softmax(-1)
    else:
        masked_weights = weights
    return weights @ value, masked_weights
