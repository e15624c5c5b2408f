# expect: no-scale
import math

import torch


def compute_scores(query, key):
    scores = query @ key.transpose(-2, -1)
    scores / math.sqrt(query.size(-1))
    return scores


def attention(query, key, value, mask=None):
    scores = compute_scores(query, key)
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return torch.softmax(scores, -1) @ value
