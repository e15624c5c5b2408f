# expect: correct
import torch


def my_softmax(x):
    x = x - x.max(dim=-1, keepdim=True).values
    e = torch.exp(x)
    return e / (e.sum(dim=-1, keepdim=True) + 1e-6)


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e30)
    weights = my_softmax(scores)
    return weights @ value, weights
