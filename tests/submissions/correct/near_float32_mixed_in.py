# expect: correct
import torch

SCALES = torch.rsqrt(torch.arange(1.0, 257.0))


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) * SCALES[query.size(-1) - 1].to(query)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1)
    return weights @ value, weights
