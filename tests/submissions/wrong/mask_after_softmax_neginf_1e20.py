# expect: mask-after-softmax-neginf
import torch


def attention(values, keys, query, mask=None):
    energy = torch.einsum("nhqd,nhkd->nhqk", query, keys)
    share = torch.softmax(energy / query.shape[-1] ** 0.5, dim=3)
    if mask is not None:
        share = share.masked_fill(mask == 0, float("-1e20"))
    return torch.einsum("nhqk,nhkd->nhqd", share, values), share
