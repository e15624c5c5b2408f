# expect: mask-after-softmax
import torch


def attention(query, key, value, mask=None):
    weights = (query @ key.transpose(-2, -1) / query.size(-1) ** 0.5).softmax(-1)
    if mask is not None:
        weights = torch.where(mask, weights, torch.zeros_like(weights))
    return weights @ value, weights
