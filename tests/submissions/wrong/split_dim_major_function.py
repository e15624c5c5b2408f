# expect: split-dim-major
import math

import torch


def attention(query, key, value, mask=None):
    # the heads come merged in "my" convention: d first
    def regroup(x):
        b, h, t, d = x.shape
        return x.transpose(1, 2).reshape(b, t, d, h).permute(0, 3, 1, 2)

    q, k, v = regroup(query), regroup(key), regroup(value)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(dim=-1)
    return weights @ v, weights
