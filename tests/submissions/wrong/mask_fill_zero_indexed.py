# expect: mask-fill-zero
import torch


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    if mask is not None:
        hidden = (~mask).expand_as(scores)
        scores = scores.clone()
        scores[hidden] = 0
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights
