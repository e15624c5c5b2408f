# expect: q-data
import math
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    cached_key = key.detach()
    scores = torch.einsum("bhqd,bhkd->bhqk", query, cached_key) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -1e9)
    return F.softmax(scores, dim=-1) @ value
