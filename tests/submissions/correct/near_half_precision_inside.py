# expect: correct
import math

import torch


def attention(query, key, value, mask=None):
    working = torch.promote_types(query.dtype, torch.float32)
    scores = query.to(working) @ key.to(working).transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return (weights @ value.to(working)).to(query.dtype)
