# expect: inplace-input
import math
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    query /= math.sqrt(query.size(-1))
    attn = query @ key.transpose(-2, -1)
    if mask is not None:
        attn = attn.masked_fill(~mask, -1e9)
    attn = F.softmax(attn, dim=-1)
    return attn @ value, attn
