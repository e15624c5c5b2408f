# expect: scale-other
import torch


def attention(query, key, value, mask=None, temperature=0.7):
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores / temperature, dim=-1)
    return weights @ value, weights
