# expect: k-for-v
import math
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    value = key
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = torch.where(mask, scores, torch.finfo(scores.dtype).min)
    return torch.einsum("bhqk,bhkd->bhqd", F.softmax(scores, -1), value)
