# expect: mask-discarded
import torch


def attention(query, key, value, mask=None):
    scores = query.matmul(key.transpose(-2, -1)).div(query.size(-1) ** 0.5)
    if mask is not None:
        scores.masked_fill(mask == False, -torch.inf)  # noqa: E712
    weights = scores.softmax(-1)
    return weights.matmul(value), weights
