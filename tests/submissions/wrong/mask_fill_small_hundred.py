# expect: mask-fill-small
import math
import torch


def attention(query, key, value, mask=None):
    att = torch.einsum("bhqd,bhkd->bhqk", query, key) / math.sqrt(query.shape[-1])
    if mask is not None:
        att = att.masked_fill(mask == False, -100.0)
    att = torch.nn.functional.softmax(att, dim=-1)
    return torch.einsum("bhqk,bhkd->bhqd", att, value)
