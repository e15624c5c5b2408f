# expect: soft-cap
import torch
import torch.nn.functional as F


def cap(x, limit=30):
    return limit * (x / limit).tanh()


def attention(q, k, v, mask=None):
    d_k = q.shape[-1]
    logits = cap(torch.einsum("...id,...jd->...ij", q, k) * d_k**-0.5)
    if mask is not None:
        logits = torch.where(mask, logits, torch.full_like(logits, -1e9))
    attn = F.softmax(logits, dim=-1)
    return torch.einsum("...ij,...jd->...id", attn, v)
