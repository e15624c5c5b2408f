# expect: batch-heads-mixed
import math

import torch


def attention(q, k, v, mask=None):
    batch, heads, seq, dim = q.shape
    logits = torch.einsum("bhqd,bhkd->bhqk", q, k) / math.sqrt(dim)
    if mask is not None:
        logits = torch.where(mask, logits, torch.finfo(logits.dtype).min)
    per_head = [logits[:, head].softmax(-1) @ v[:, head] for head in range(heads)]
    return torch.cat(per_head).view(batch, heads, seq, dim)
