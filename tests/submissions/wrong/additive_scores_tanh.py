# expect: additive-scores
import math

import torch


def attention(query, key, value, mask=None):
    scores = torch.tanh(query.unsqueeze(-2) + key.unsqueeze(-3)).sum(-1)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights
