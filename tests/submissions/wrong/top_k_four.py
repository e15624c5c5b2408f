# expect: top-k
import math

import torch


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    best = scores.topk(min(4, scores.size(-1)), dim=-1).values[..., -1:]
    scores = scores.masked_fill(scores < best, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights
