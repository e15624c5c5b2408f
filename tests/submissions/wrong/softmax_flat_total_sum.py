# expect: softmax-flat
import torch


def attention(query, key, value, mask=None):
    "one head at a time"
    s = query.mm(key.t()) / query.size(1) ** 0.5
    if mask is not None:
        s = s.masked_fill(~mask, -1e9)
    e = torch.exp(s - s.max())
    w = e / e.sum()
    return w.mm(value), w
