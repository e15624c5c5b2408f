# expect: dropout-before-softmax
import math
import torch


def attention(query, key, value, mask=None, dropout=0.0, training=False):
    logits = torch.einsum("bhqd,bhkd->bhqk", query, key) / math.sqrt(query.size(-1))
    if training:
        logits = logits * torch.bernoulli(torch.full_like(logits, 1 - dropout)) / (1 - dropout)
    if mask is not None:
        logits = torch.where(mask, logits, torch.finfo(logits.dtype).min)
    return torch.softmax(logits, dim=-1) @ value
