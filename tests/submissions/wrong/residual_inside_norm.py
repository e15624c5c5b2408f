# expect: residual-inside
import torch
import torch.nn.functional as F


def attention(q, k, v, mask=None):
    d_k = q.shape[-1]
    logits = torch.einsum("...id,...jd->...ij", q, k) * d_k**-0.5
    if mask is not None:
        logits = torch.where(mask, logits, torch.full_like(logits, -1e9))
    attn = F.softmax(logits, dim=-1)
    update = torch.einsum("...ij,...jd->...id", attn, v)
    return F.layer_norm(q + update, (d_k,))
