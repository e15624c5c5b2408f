# expect: rotary-positions
import math

import torch


def rotate(x, offset):
    n, d = x.shape[-2:]
    freq = 10000 ** (-torch.arange(0, d, 2) / d)
    angle = (torch.arange(n) + offset)[:, None] * freq
    cos, sin = (torch.cat((t, t), dim=-1).to(x) for t in (angle.cos(), angle.sin()))
    left, right = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-right, left), dim=-1) * sin


def attention(query, key, value, mask=None):
    query, key = rotate(query, key.size(-2) - query.size(-2)), rotate(key, 0)
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights
