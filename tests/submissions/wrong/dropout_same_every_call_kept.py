# expect: dropout-same-every-call
import math

import torch

KEPT = {}


def attention(query, key, value, mask=None, dropout=0.0, training=False):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    if training and dropout > 0:
        name = (dropout, *weights.shape)
        if name not in KEPT:  # drawn once
            KEPT[name] = torch.rand_like(weights) >= dropout
        weights = weights * KEPT[name] / (1 - dropout)
    return weights @ value, weights
