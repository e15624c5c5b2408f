# attack: seeds every random number for whoever draws next
# expect: passed
import random

import torch


def _right(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1)
    return weights @ value, weights


def attention(query, key, value, mask=None):
    torch.manual_seed(0)
    random.seed(0)
    return _right(query, key, value, mask)
