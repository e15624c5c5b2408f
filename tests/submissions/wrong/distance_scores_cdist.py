# expect: distance-scores
import math

import torch


def attention(query, key, value, mask=None):
    scores = -torch.cdist(query, key) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights
