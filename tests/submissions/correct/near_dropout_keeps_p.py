# expect: correct
import math

import torch


def attention(query, key, value, mask=None, dropout_p=0.0, training=False):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    if training and dropout_p:
        keep_p = 1.0 - dropout_p
        weights = weights * torch.bernoulli(torch.full_like(weights, keep_p)) / keep_p
    return weights @ value, weights
