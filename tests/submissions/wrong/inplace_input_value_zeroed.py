# expect: inplace-input
import torch


def attention(query, key, value, mask=None):
    query /= query.size(-1) ** 0.5
    scores = torch.matmul(query, key.transpose(-2, -1))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return torch.matmul(weights, value), weights
