# expect: correct
import torch


def attention(queries, keys, values, mask=None):
    n, d = queries.shape
    scores = queries @ keys.T / d ** 0.5
    if mask is not None:
        scores[~mask] = float("-inf")
    weights = torch.softmax(scores, dim=1)
    return weights @ values, weights
