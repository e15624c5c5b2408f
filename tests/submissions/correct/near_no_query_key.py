# expect: correct
import torch


def attention(query, key, value, mask=None):
    shape = (*query.shape[:-1], key.size(-2))
    start = torch.zeros(shape, dtype=query.dtype, device=query.device)
    if mask is not None:
        start = start.masked_fill(~mask, float("-inf"))
    scores = start + query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    weights = scores.softmax(-1)
    return weights @ value, weights
