# expect: mask-inverted
import torch


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    if mask is not None:
        hidden = ~(~mask)
        scores = torch.where(hidden, torch.full_like(scores, -1e9), scores)
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights
