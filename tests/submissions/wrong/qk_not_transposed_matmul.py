# expect: qk-not-transposed
import math

import torch


def attention(query, key, value, mask=None):
    scores = torch.matmul(query, key) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1)
    return torch.matmul(weights, value), weights
