# expect: mask-repeat-order
import math
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    batch, heads = query.shape[:2]
    query, key, value = (x.flatten(0, 1) for x in (query, key, value))
    logits = torch.einsum("nqd,nkd->nqk", query, key) / math.sqrt(query.size(-1))
    if mask is not None:
        logits = torch.where(torch.cat([mask[:, 0]] * heads), logits, torch.finfo(logits.dtype).min)
    out = F.softmax(logits, dim=-1) @ value
    return out.unflatten(0, (batch, heads))
