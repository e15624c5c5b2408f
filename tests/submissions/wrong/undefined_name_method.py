# expect: undefined-name
import math
import torch


def attention(q, k, v, mask=None):
    s = torch.einsum("bhqd,bhkd->bhqk", q, k) / math.sqrt(q.size(-1))
    if mask is not None:
        s = s.mask_fill(mask == 0, -1e9)
    return s.softmax(dim=-1) @ v
