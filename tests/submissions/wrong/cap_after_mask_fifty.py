# expect: cap-after-mask
import math

import torch


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    scores = 50.0 * torch.tanh(scores / 50.0)
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights
