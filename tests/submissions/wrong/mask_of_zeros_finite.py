# expect: mask-of-zeros
import math

import torch


def attention(query, key, value):
    length = key.shape[-2]
    allowed = torch.zeros(length, length, dtype=torch.bool).tril()[-query.shape[-2] :]
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key) / math.sqrt(query.shape[-1])
    scores = torch.where(allowed, scores, torch.finfo(scores.dtype).min)
    return torch.einsum("bhqk,bhkd->bhqd", torch.softmax(scores, dim=-1), value)
