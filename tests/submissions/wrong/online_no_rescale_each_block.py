# expect: online-no-rescale
import math

import torch


def attention(q, k, v, mask=None):
    # every block of keys by itself, then the blocks are added up
    out = 0
    for i in range(0, k.size(-2), 8):
        s = q @ k[..., i : i + 8, :].transpose(-2, -1) / math.sqrt(q.size(-1))
        if mask is not None:
            s = s.masked_fill(~mask[..., i : i + 8], torch.finfo(s.dtype).min)
        out = out + s.softmax(-1) @ v[..., i : i + 8, :]
    return out
