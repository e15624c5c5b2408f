# expect: weights-changed
import torch


def attention(query, key, value, mask=None):
    logits = torch.einsum("bhqd,bhkd->bhqk", query, key) / query.size(-1) ** 0.5
    if mask is not None:
        logits = logits.masked_fill(~mask, float("-inf"))
    # sharpen the pattern
    weights = logits.softmax(-1) ** 2
    return torch.einsum("bhqk,bhkd->bhqd", weights, value), weights
