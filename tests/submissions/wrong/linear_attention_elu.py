# expect: linear-attention
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    query, key = F.elu(query) + 1, F.elu(key) + 1
    weights = query @ key.transpose(-2, -1)
    if mask is not None:
        weights = weights * mask
    weights = weights / (weights.sum(dim=-1, keepdim=True) + 1e-6)
    return weights @ value, weights
