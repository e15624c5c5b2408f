# expect: correct
import torch


def attention(q, k, v, mask=None, verbose=False):
    scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(dim=-1)
    if verbose:
        print(torch.round(weights, decimals=2))
    return weights @ v, weights
