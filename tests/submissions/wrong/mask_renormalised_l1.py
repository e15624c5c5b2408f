# expect: mask-renormalised
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    weights = F.softmax(query @ key.transpose(-2, -1) / query.size(-1) ** 0.5, dim=-1)
    if mask is not None:
        weights = F.normalize(weights * mask, p=1, dim=-1)
    return weights @ value, weights
