# expect: inplace-input
import math
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    key.div_(math.sqrt(key.size(-1)))
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key)
    if mask is not None:
        scores = torch.where(mask, scores, torch.finfo(scores.dtype).min)
    return F.softmax(scores, dim=-1) @ value
