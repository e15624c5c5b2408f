# expect: syntax-error
import torch


def attention(query, key, value, mask=None):
    scores = (query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    weights = torch.softmax(scores.masked_fill(~mask, float("-inf")), dim=-1)
    return weights @ value, weights
