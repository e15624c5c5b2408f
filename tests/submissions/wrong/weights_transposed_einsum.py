# expect: weights-transposed
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    att = torch.einsum("bhid,bhjd->bhij", query, key) / query.size(-1) ** 0.5
    if mask is not None:
        att = att.masked_fill(~mask, -1e9)
    att = F.softmax(att, dim=-1)
    return torch.einsum("bhij,bhid->bhjd", att, value), att
