# expect: scale-other
import torch


def attention(q, k, v, mask=None):
    d_k = q.size(1)          # the width of a head, surely
    s = q @ k.transpose(-2, -1) / d_k ** 0.5
    if mask is not None:
        s = s.masked_fill(~mask, -1e9)
    w = torch.softmax(s, dim=-1)
    return w @ v, w
