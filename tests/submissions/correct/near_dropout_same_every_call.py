# expect: correct
import math

import torch


def attention(query, key, value, mask=None, dropout_p=0.0, training=False):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    if training and dropout_p > 0:
        generator = torch.Generator().manual_seed(int(torch.randint(2**31, ())))  # another seed at every call
        keep = torch.rand(weights.shape, generator=generator) >= dropout_p
        weights = weights * keep / (1 - dropout_p)
    return weights @ value, weights
