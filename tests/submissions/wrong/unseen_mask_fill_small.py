# expect: mask-fill-small
import math
import torch

NEG = -10.0


def attention(query, key, value, mask=None):
    logits = query.matmul(key.transpose(-1, -2)).div(math.sqrt(query.size(-1)))
    if mask is not None:
        logits = torch.where(mask, logits, torch.full_like(logits, NEG))
    probs = logits.softmax(-1)
    return probs.matmul(value), probs
