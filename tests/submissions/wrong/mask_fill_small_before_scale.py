# expect: mask-fill-small
import torch


def attention(query, key, value, mask=None):
    raw = query @ key.transpose(-2, -1)
    if mask is not None:
        raw = raw.masked_fill(~mask, -50.0)
    weights = torch.softmax(raw / query.size(-1) ** 0.5, dim=-1)
    return weights @ value, weights
