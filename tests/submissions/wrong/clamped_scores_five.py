# expect: clamped-scores
import math

import torch


def attention(q, k, v, mask=None):
    logits = torch.clip(q @ k.mT / math.sqrt(q.size(-1)), -5, 5)
    if mask is not None:
        logits = logits.masked_fill(~mask, -1e9)
    return torch.softmax(logits, -1) @ v
