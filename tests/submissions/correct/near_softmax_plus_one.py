# expect: correct
import torch


def attention(q, k, v, mask=None):
    """The largest exponential of a row is exp(0) = 1: the 1 in the divisor stands for it."""
    scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    largest, place = scores.max(dim=-1, keepdim=True)
    exponentials = (scores - largest).exp()
    others = exponentials.scatter(-1, place, 0.0).sum(dim=-1, keepdim=True)
    weights = exponentials / (1 + others)
    return weights @ v, weights
