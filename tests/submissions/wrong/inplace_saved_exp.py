# expect: inplace-saved
import math
import torch


def attention(query, key, value, mask=None):
    logits = torch.einsum("bhqd,bhkd->bhqk", query, key) / math.sqrt(query.size(-1))
    if mask is not None:
        logits = logits.masked_fill(mask == 0, torch.finfo(logits.dtype).min)
    e = torch.exp(logits - logits.amax(-1, keepdim=True))
    e /= e.sum(-1, keepdim=True)
    return torch.einsum("bhqk,bhkd->bhqd", e, value)
