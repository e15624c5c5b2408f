# expect: no-scale mask-fill-tiny
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    energy = torch.einsum("nhqd,nhkd->nhqk", [query, key])
    if mask is not None:
        energy = energy.masked_fill(mask == 0, float("-1e-20"))
    attn = F.softmax(energy, dim=3)
    out = torch.einsum("nhql,nhld->nhqd", [attn, value])
    return out, attn
