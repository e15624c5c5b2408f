# expect: dropout-renormalised
import math

import torch


def attention(query, key, value, mask=None, dropout_p=0.0, training=False):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1)
    if training and dropout_p > 0:
        keep = torch.rand_like(weights) > dropout_p
        weights = weights * keep
        weights = weights / weights.sum(-1, keepdim=True).clamp_min(1e-9)
    return weights @ value, weights
