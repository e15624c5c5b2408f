# expect: correct
import math

import torch


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e30)
    similarity = torch.exp(scores - scores.amax(-1, keepdim=True))
    numerator = similarity @ value
    denominator = similarity @ torch.ones_like(value[..., :1])
    return numerator / denominator
