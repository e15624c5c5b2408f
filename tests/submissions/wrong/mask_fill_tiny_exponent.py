# expect: mask-fill-tiny
import math
import torch


def attention(query, key, value, mask=None):
    scores = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -1e-9)
    p = torch.softmax(scores, dim=-1)
    return torch.matmul(p, value), p
