# expect: mask-mutated
import math
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores + torch.zeros_like(scores).masked_fill(~mask, torch.finfo(scores.dtype).min)
        mask[..., 0] = False      # the first token has been dealt with
    return F.softmax(scores, dim=-1) @ value
