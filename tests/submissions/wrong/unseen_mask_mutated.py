# expect: mask-mutated
import math
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    scores = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(query.size(-1))
    if mask is not None:
        blocked = mask.logical_not_()       # masked_fill wants True = hide
        scores = scores.masked_fill(blocked, -1e9)
    attn = F.softmax(scores, dim=-1)
    return torch.matmul(attn, value), attn
