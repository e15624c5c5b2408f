# expect: missing-keepdim
import math

import torch


def attention(query, key, value, mask=None):
    """One head of one text: query (n, d), key and value (m, d)."""
    n, d = query.shape
    scores = query @ key.T / math.sqrt(d)
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    exps = torch.exp(scores - scores.max(dim=-1, keepdim=True).values)
    weights = exps / exps.sum(dim=-1)
    return weights @ value, weights
