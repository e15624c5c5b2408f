# expect: mask-transposed
import torch


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    if mask is not None:
        mask = torch.ones_like(scores, dtype=torch.bool).triu() if mask.size(-1) != mask.size(-2) else mask.mT
        scores = scores.masked_fill(~mask, -1e9)
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights
