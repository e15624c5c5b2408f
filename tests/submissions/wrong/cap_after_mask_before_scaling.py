# expect: cap-after-mask
import torch


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1)
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -1e9)
    scores = torch.tanh(scores / 30) * 30 / query.size(-1) ** 0.5
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights
