# expect: correct
import math

import torch


def attention(query, key, value, mask=None, noise=0.0):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    scores = scores + noise * torch.randn_like(scores)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights
