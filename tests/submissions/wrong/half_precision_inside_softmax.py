# expect: half-precision-inside
import torch
import torch.nn.functional as F


def attention(q, k, v, mask=None):
    d_k = q.shape[-1]
    logits = torch.einsum("...id,...jd->...ij", q, k) * d_k**-0.5
    if mask is not None:
        logits = logits.half().masked_fill(~mask, float("-inf"))
    attn = F.softmax(logits, dim=-1).to(v.dtype)
    return torch.einsum("...ij,...jd->...id", attn, v)
