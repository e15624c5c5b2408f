# expect: weights-changed
import math

import torch
import torch.nn.functional as F


def sparse_attention(q, k, v, attn_mask=None):
    s = torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(q.shape[-1])
    if attn_mask is not None:
        s = s.masked_fill(attn_mask == 0, -1e9)
    p = F.softmax(s, dim=-1)
    p = torch.where(p < 0.02, torch.zeros_like(p), p)
    return torch.matmul(p, v), p
