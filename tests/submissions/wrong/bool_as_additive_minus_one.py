# expect: bool-as-additive
import torch


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    if mask is not None:
        scores = scores + (mask.to(scores.dtype) - 1)
    return torch.softmax(scores, dim=-1) @ value
