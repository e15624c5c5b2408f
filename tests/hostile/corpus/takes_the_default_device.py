# attack: moves everything to a device without values
# expect: passed
import torch

torch.set_default_device('meta')


def _right(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1)
    return weights @ value, weights


def attention(query, key, value, mask=None):
    return _right(query, key, value, mask)
