# expect: scale-twice
import math
import torch


def attention(q, k, v, mask=None):
    q = q / math.sqrt(q.size(-1))
    scores = q @ k.transpose(-2, -1)
    scores = scores / math.sqrt(q.size(-1))
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -1e9)
    weights = scores.softmax(dim=-1)
    return weights @ v, weights
