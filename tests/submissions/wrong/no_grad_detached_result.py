# expect: no-grad
import math
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = torch.where(mask, scores, torch.finfo(scores.dtype).min)
    output = F.softmax(scores, dim=-1) @ value
    return output.detach().clone()
