# expect: inf-times-zero
import torch


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    if mask is not None:
        scores += float("-inf") * mask.logical_not().to(scores)
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights
