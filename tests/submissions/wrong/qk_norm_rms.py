# expect: qk-norm
import torch
import torch.nn.functional as F


def rms(x):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


def attention(q, k, v, mask=None):
    q, k = rms(q), rms(k)
    d_k = q.shape[-1]
    logits = torch.einsum("...id,...jd->...ij", q, k) * d_k**-0.5
    if mask is not None:
        logits = torch.where(mask, logits, torch.full_like(logits, -1e9))
    attn = F.softmax(logits, dim=-1)
    return torch.einsum("...ij,...jd->...id", attn, v)
