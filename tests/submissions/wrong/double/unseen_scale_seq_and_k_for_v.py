# expect: scale-seq k-for-v
import math
import torch


def attention(query, key, value, mask=None):
    n = key.shape[-2]
    scores = query @ key.transpose(-2, -1) / math.sqrt(n)
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    weights = torch.softmax(scores, dim=-1)
    return weights @ key, weights
