# expect: mask-renormalised
import torch
import torch.nn.functional as F


def attention(q, k, v, mask=None):
    d_k = q.shape[-1]
    logits = torch.einsum("...id,...jd->...ij", q, k) * d_k**-0.5
    attn = F.softmax(logits, dim=-1)
    if mask is not None:
        attn = attn.masked_fill(~mask, 0.0)
        attn = attn / (attn.sum(-1, keepdim=True) + 1e-9)
    return torch.einsum("...ij,...jd->...id", attn, v)
