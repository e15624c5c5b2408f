# expect: cap-after-mask
import torch
import torch.nn.functional as F


def softcapped(logits, limit):
    return (logits / limit).tanh().mul(limit)


def attention(q, k, v, mask=None):
    logits = torch.einsum("...id,...jd->...ij", q, k) * q.shape[-1] ** -0.5
    if mask is not None:
        logits = torch.where(mask, logits, torch.full_like(logits, torch.finfo(logits.dtype).min))
    attn = F.softmax(softcapped(logits, 5), dim=-1)
    return torch.einsum("...ij,...jd->...id", attn, v)
