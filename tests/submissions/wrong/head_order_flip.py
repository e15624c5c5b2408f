# expect: head-order
import torch


def attention(query, key, value, mask=None):
    att = torch.einsum("bhqd,bhkd->bhqk", query, key) / query.size(-1) ** 0.5
    if mask is not None:
        att = torch.where(mask, att, torch.finfo(att.dtype).min)
    att = att.softmax(dim=-1)
    out = att @ value
    return torch.cat([out[:, [i]] for i in reversed(range(out.size(1)))], dim=1), att
