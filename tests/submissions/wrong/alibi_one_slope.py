# expect: alibi
import torch
import torch.nn.functional as F


def attention(q, k, v, mask=None):
    d_k = q.shape[-1]
    logits = torch.einsum("...id,...jd->...ij", q, k) * d_k**-0.5
    back = torch.arange(k.shape[-2]) - torch.arange(k.shape[-2] - q.shape[-2], k.shape[-2])[:, None]
    logits = logits + 0.5 * back.to(logits)
    if mask is not None:
        logits = torch.where(mask, logits, torch.full_like(logits, -1e9))
    attn = F.softmax(logits, dim=-1)
    return torch.einsum("...ij,...jd->...id", attn, v)
