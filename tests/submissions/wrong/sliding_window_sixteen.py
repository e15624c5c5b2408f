# expect: sliding-window
import math

import torch

WINDOW = 16


def attention(query, key, value, mask=None):
    n, m = query.size(-2), key.size(-2)
    scores = torch.matmul(query, key.mT) / math.sqrt(query.size(-1))
    band = torch.ones(n, m, dtype=torch.bool).triu(m - n - WINDOW + 1)
    blocked = ~band if mask is None else ~(mask & band)
    scores = scores.masked_fill(blocked, torch.finfo(scores.dtype).min)
    weights = scores.softmax(dim=-1)
    return torch.matmul(weights, value), weights
