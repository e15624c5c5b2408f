# expect: correct
import math

import torch


def attention(query, key, value, mask=None, residual=False):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    output = weights @ value
    return (output + query if residual else output), weights
