# expect: float-mask-promote
import torch


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    if mask is not None:
        bias = torch.zeros(mask.shape)
        bias[~mask] = float("-inf")
        scores = scores + bias
    return torch.softmax(scores, dim=-1) @ value
