# expect: wrong-variable
import math
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    att = torch.einsum("bhqd,bhkd->bhqk", query, key) / math.sqrt(query.size(-1))
    attn = att if mask is None else torch.where(mask, att, torch.finfo(att.dtype).min)
    attn = F.softmax(attn, dim=-1)
    out = torch.einsum("bhqk,bhkd->bhqd", att, value)
    return out, attn
