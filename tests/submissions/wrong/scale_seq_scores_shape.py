# expect: scale-seq
import torch


def attention(query, key, value, mask=None):
    att = torch.einsum("bhqd,bhkd->bhqk", query, key)
    att = att * att.shape[-1] ** -0.5
    if mask is not None:
        att = att.masked_fill(mask.logical_not(), torch.finfo(att.dtype).min)
    return torch.einsum("bhqk,bhkd->bhqd", att.softmax(-1), value)
