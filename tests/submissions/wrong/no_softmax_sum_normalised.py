# expect: no-softmax
import torch


def attention(query, key, value, mask=None):
    weights = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    if mask is not None:
        weights = weights.masked_fill(~mask, 0.0)
    return torch.einsum("...qk,...kd->...qd", weights, value), weights
