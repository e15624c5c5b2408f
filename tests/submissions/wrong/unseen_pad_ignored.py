# expect: pad-ignored
import math
import torch


def attention(query, key, value, mask=None):
    """Decoder attention. When a mask is wanted the lower triangle is used."""
    lq = query.size(-2)
    lk = key.size(-2)
    scores = (query @ key.transpose(-2, -1)) / math.sqrt(query.size(-1))
    if mask is not None:
        tri = torch.tril(torch.ones(lq, lk, device=query.device), diagonal=lk - lq)
        scores = scores.masked_fill(tri == 0, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights
