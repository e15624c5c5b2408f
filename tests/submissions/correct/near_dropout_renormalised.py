# expect: correct
import math

import torch


def attention(query, key, value, mask=None, dropout_p=0.0, training=False):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = torch.exp(scores - scores.amax(-1, keepdim=True))
    weights = weights / weights.sum(-1, keepdim=True)
    if training and dropout_p > 0:
        weights = weights * (torch.rand_like(weights) >= dropout_p) / (1 - dropout_p)
    return weights @ value, weights
