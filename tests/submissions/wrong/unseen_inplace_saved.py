# expect: inplace-saved
import math
import torch


def attention(query, key, value, mask=None):
    x = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        x = x.masked_fill(~mask, -1e9)
    # stable softmax by hand
    x = x - x.max(dim=-1, keepdim=True)[0]
    e = torch.exp(x)
    e /= e.sum(dim=-1, keepdim=True)
    return e @ value, e
