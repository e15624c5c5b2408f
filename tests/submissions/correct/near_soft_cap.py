# expect: correct
import math

import torch


def attention(query, key, value, mask=None, softcap=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights
