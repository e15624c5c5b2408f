# expect: correct
import math

import torch


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    keep = torch.ones_like(scores, dtype=torch.bool) if mask is None else mask.expand_as(scores)
    top = scores.masked_fill(~keep, float("-inf")).amax(-1, keepdim=True)
    top = top.masked_fill(top == float("-inf"), 0.0)
    exps = torch.exp((scores - top).masked_fill(~keep, 0.0)) * keep
    weights = exps / exps.sum(-1, keepdim=True).clamp_min(1e-30)
    return weights @ value, weights
