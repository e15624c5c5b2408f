# expect: scale-after-softmax
import torch


def attention(query, key, value, mask=None):
    root = query.shape[-1] ** 0.5
    value = value / root
    logits = torch.matmul(query, key.transpose(-2, -1))
    if mask is not None:
        logits = logits.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(logits, dim=-1)
    return torch.matmul(weights, value), weights
