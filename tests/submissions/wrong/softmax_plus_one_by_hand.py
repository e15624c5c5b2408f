# expect: softmax-plus-one
import torch


def softmax_1(x):
    x = x - x.max(dim=-1, keepdim=True).values
    return x.exp() / (1 + x.exp().sum(dim=-1, keepdim=True))


def attention(query, key, value, mask=None):
    scores = query @ key.mT * query.shape[-1] ** -0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = softmax_1(scores)
    return weights @ value, weights
