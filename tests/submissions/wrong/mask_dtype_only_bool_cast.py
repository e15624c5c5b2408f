# expect: mask-dtype-only-bool
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key) * query.shape[-1] ** -0.5
    if mask is not None:
        mask = mask.float()
        scores = scores.masked_fill(~mask, -1e9)
    return F.softmax(scores, dim=-1) @ value
