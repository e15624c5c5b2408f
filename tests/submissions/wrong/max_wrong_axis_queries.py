# expect: max-wrong-axis
import torch
import torch.nn.functional as F


def attention(q, k, v, mask=None):
    d_k = q.shape[-1]
    logits = torch.einsum("...id,...jd->...ij", q, k) * d_k**-0.5
    if mask is not None:
        logits = torch.where(mask, logits, torch.full_like(logits, -1e9))
    exps = (logits - logits.amax(dim=-2, keepdim=True)).exp()
    attn = exps / exps.sum(-1, keepdim=True)
    return torch.einsum("...ij,...jd->...id", attn, v)
