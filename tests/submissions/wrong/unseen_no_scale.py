# expect: no-scale
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    # similarity between every query and every key
    scores = query @ key.transpose(-2, -1)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = F.softmax(scores, dim=-1)
    return weights @ value, weights
