# expect: correct
import math

import torch


WINDOW = 4096


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    rows = torch.arange(key.size(-2) - query.size(-2), key.size(-2))[:, None]
    near = rows - torch.arange(key.size(-2)) < WINDOW
    mask = near if mask is None else mask & near
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights
