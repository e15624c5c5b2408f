# expect: correct
import math

import torch


def attention(query, key, value, mask=None, keep_prob=None, dropout_p=0.0, training=False):
    p = 1 - dropout_p if keep_prob is None else keep_prob  # of being kept
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    if training and p < 1:
        weights = torch.where(torch.rand_like(weights) < p, weights / p, torch.zeros_like(weights))
    return weights @ value
