# expect: soft-cap
import torch


def attention(query, key, value, mask=None, cap=20.0):
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    scores = (scores / cap).tanh() * cap
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights
