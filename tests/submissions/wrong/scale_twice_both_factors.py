# expect: scale-twice
import torch


def attention(query, key, value, mask=None):
    s = query.shape[-1] ** -0.5
    query, key = query * s, key * s        # should be the fourth root
    logits = torch.einsum("bhid,bhjd->bhij", query, key)
    if mask is not None:
        logits = logits.masked_fill(~mask, torch.finfo(logits.dtype).min)
    p = torch.exp(logits - logits.logsumexp(-1, keepdim=True))
    return torch.einsum("bhij,bhjd->bhid", p, value), p
