# expect: correct
import torch


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) * query.size(-1) ** -0.5
    if mask is not None:
        blocked = mask.clone()
        blocked.logical_not_()
        scores = scores + torch.zeros_like(scores).masked_fill_(blocked, float("-inf"))
    weights = scores.softmax(dim=-1)
    return weights @ value, weights
