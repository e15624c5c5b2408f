# expect: no-softmax
import math

import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    d_k = query.size(-1)
    attn = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(d_k)
    if mask is not None:
        attn = attn.masked_fill(~mask, -1e9)
    F.softmax(attn, dim=-1)
    output = torch.matmul(attn, value)
    return output, attn
