# expect: heads-averaged
import math
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    total = 0
    H = query.shape[1]
    for h in range(H):
        logits = torch.einsum("bqd,bkd->bqk", query[:, h], key[:, h]) / math.sqrt(query.shape[-1])
        if mask is not None:
            logits = torch.where(mask[:, 0], logits, -1e9)
        total = total + F.softmax(logits, dim=-1) @ value[:, h]
    return torch.stack([total / H] * H, dim=1)
