# expect: mask-fill-zero
import torch


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(mask == 0, 0)
    return torch.softmax(scores, -1) @ value
