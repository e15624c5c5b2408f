# expect: correct
import math

import torch


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    exps = torch.exp(scores - scores.max(dim=-1).values[..., None])
    weights = exps / exps.sum(dim=-1).unsqueeze(-1)
    return weights @ value, weights
