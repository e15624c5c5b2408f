# expect: mask-inverted
import torch


def attention(query, key, value, mask=None):
    # mask: True where a query may attend to a key
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores + mask.to(scores.dtype) * -10000.0
    weights = scores.softmax(dim=-1)
    return weights @ value, weights
