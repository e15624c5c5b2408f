# expect: inf-times-zero
import torch
import torch.nn.functional as F


def attention(q, k, v, mask=None):
    d_k = q.shape[-1]
    logits = torch.einsum("...id,...jd->...ij", q, k) * d_k**-0.5
    if mask is not None:
        logits = logits + (~mask).to(logits) * -torch.inf
    attn = F.softmax(logits, dim=-1)
    return torch.einsum("...ij,...jd->...id", attn, v)
