# expect: mask-fill-tiny
import torch


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.finfo(scores.dtype).tiny)
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights
