# expect: correct
import numpy as np
import torch


def softmax(x, mask=None):
    biggest, _ = torch.max(x, dim=-1, keepdim=True)
    e = torch.exp(x - biggest)
    if mask is not None:
        e = e * mask            # exp(-inf) would be 0, so just put 0
    total = torch.sum(e, dim=-1, keepdim=True)
    return e / (total + 1e-9)


def attention(query, key, value, mask=None):
    d = query.shape[-1]
    scores = torch.matmul(query, torch.swapaxes(key, -1, -2)) / float(np.sqrt(d))
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e4)
    weights = softmax(scores, mask)
    context = torch.matmul(weights, value)
    assert context.shape == query.shape
    return context, weights
