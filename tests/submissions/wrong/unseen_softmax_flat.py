# expect: softmax-flat
import math
import torch


def attention(query, key, value, mask=None):
    b, h, tq, d = query.shape
    tk = key.shape[2]
    logits = (query / math.sqrt(d)) @ key.transpose(-1, -2)
    if mask is not None:
        logits = logits.masked_fill(~mask, -1e9)
    # one distribution per head
    logits = logits.reshape(b, h, tq * tk)
    probs = torch.softmax(logits, dim=-1)
    probs = probs.reshape(b, h, tq, tk)
    return probs @ value, probs
