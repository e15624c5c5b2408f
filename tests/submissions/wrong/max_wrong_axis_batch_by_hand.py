# expect: max-wrong-axis
import torch


def attention(query, key, value, mask=None):
    logits = torch.matmul(query, key.transpose(-1, -2)) * query.shape[-1] ** -0.5
    if mask is not None:
        logits = logits.masked_fill(~mask, -1e9)
    logits = logits - torch.max(logits)  # stable
    e = logits.exp()
    p = e / e.sum(axis=-1, keepdims=True)
    return torch.matmul(p, value), p
