# expect: kT-view
import math
import torch


def attention(query, key, value, mask=None):
    "one head, one example"
    assert query.ndim == 2
    key_T = key.reshape(key.shape[1], key.shape[0])
    logits = torch.mm(query, key_T) / math.sqrt(key.shape[1])
    if mask is not None:
        logits = logits + torch.zeros_like(logits).masked_fill(mask == 0, -1e9)
    att = torch.softmax(logits, dim=1)
    return torch.mm(att, value)
