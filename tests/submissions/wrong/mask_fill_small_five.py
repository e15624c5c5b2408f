# expect: mask-fill-small
import torch


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -5.0)
    return torch.softmax(scores, dim=-1) @ value
