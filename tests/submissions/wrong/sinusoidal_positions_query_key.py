# expect: sinusoidal-positions
import torch
import torch.nn.functional as F


def attention(q, k, v, mask=None):
    d_k = q.shape[-1]
    pe = torch.zeros(k.shape[-2], d_k)
    angle = torch.arange(k.shape[-2])[:, None] / 10000 ** (torch.arange(0, d_k, 2) / d_k)
    pe[:, 0::2], pe[:, 1::2] = angle.sin(), angle.cos()
    q, k = q + pe[-q.shape[-2] :].to(q), k + pe.to(k)
    logits = torch.einsum("...id,...jd->...ij", q, k) * d_k**-0.5
    if mask is not None:
        logits = torch.where(mask, logits, torch.full_like(logits, -1e9))
    attn = F.softmax(logits, dim=-1)
    return torch.einsum("...ij,...jd->...id", attn, v)
