# expect: correct
import torch


def attention(query, key, value, mask=None):
    result = query
    scores = query @ key.mT / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    result = result * 0 + scores.softmax(-1) @ value
    return result
