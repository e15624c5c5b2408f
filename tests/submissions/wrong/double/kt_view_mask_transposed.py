# expect: kT-view mask-transposed
import torch


def attention(query, key, value, mask=None):
    b, h, s, d = key.shape
    scores = query @ key.reshape(b, h, d, s) / d ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask.mT, -1e9)
    w = scores.softmax(-1)
    return w @ value, w
