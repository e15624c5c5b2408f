# expect: scale-seq
import math

import torch


def attention(q, k, v, mask=None):
    n = q.size(-2)
    s = torch.matmul(q, k.transpose(-2, -1)) / math.sqrt(n)
    s = s if mask is None else s.masked_fill(~mask, -1e9)
    a = torch.softmax(s, dim=-1)
    return torch.matmul(a, v), a
