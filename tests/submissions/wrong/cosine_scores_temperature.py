# expect: cosine-scores
import torch
import torch.nn.functional as F


def attention(q, k, v, mask=None):
    d_k = q.shape[-1]
    logits = torch.einsum("...id,...jd->...ij", F.normalize(q, dim=-1), F.normalize(k, dim=-1)) * 10.0
    if mask is not None:
        logits = torch.where(mask, logits, torch.full_like(logits, -1e9))
    attn = F.softmax(logits, dim=-1)
    return torch.einsum("...ij,...jd->...id", attn, v)
