# expect: correct
import torch


def attention(query, key, value, mask=None):
    """q . k = (|q|^2 + |k|^2 - |q - k|^2) / 2, in double precision."""
    q, k = query.double(), key.double()
    distance = (q[..., :, None, :] - k[..., None, :, :]).square().sum(-1)
    products = (q.square().sum(-1)[..., :, None] + k.square().sum(-1)[..., None, :] - distance) / 2
    scores = products / q.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1).to(value.dtype)
    return weights @ value, weights
