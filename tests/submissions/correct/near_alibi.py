# expect: correct
import math

import torch


def attention(query, key, value, mask=None, slope=0.0):
    rows = torch.arange(key.size(-2) - query.size(-2), key.size(-2), device=query.device)[:, None]
    distance = (rows - torch.arange(key.size(-2), device=query.device)).to(query.dtype)
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1)) - slope * distance
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights
