# expect: last-block-lost
import math

import torch


def attention(q, k, v, mask=None, block=5):
    whole = k.size(-2) // block * block
    k, v = k[..., :whole, :], v[..., :whole, :]
    s = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))
    if mask is not None:
        s = s.masked_fill(~mask[..., :whole], torch.finfo(s.dtype).min)
    return s.softmax(dim=-1) @ v
