# expect: future-partly-hidden
import math

import torch


def attention(query, key, value):
    length = key.shape[-2]
    block = torch.arange(length) // 8
    blocked = block[None, :] > block[-query.shape[-2] :, None]
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    weights = scores.masked_fill(blocked, float("-inf")).softmax(dim=-1)
    return weights @ value, weights
