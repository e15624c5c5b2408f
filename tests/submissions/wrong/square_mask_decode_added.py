# expect: square-mask-decode
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    n = query.shape[-2]
    causal = torch.full((n, n), torch.finfo(query.dtype).min, dtype=query.dtype, device=query.device).triu(1)
    logits = torch.einsum("bhqd,bhkd->bhqk", query, key) * query.shape[-1] ** -0.5 + causal
    if mask is not None:
        logits = logits.masked_fill(~mask, torch.finfo(query.dtype).min)
    return F.softmax(logits, dim=-1) @ value
