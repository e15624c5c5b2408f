# expect: softmax-flat k-for-v
import torch


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    weights = scores.flatten(-2).softmax(-1).view_as(scores)
    return torch.matmul(weights, key), weights
