# expect: softmax-naive
import math

import torch


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    exps = torch.pow(math.e, scores)
    if mask is not None:
        exps = exps.masked_fill(~mask, 0.0)
    weights = exps / exps.sum(-1, keepdim=True)
    return weights @ value, weights
