# expect: mask-discarded
import math
import torch


def attention(query, key, value, mask=None):
    scores = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(query.size(-1))
    if mask is not None:
        scores.masked_fill(mask == 0, float("-inf"))
    p = torch.softmax(scores, dim=-1)
    return torch.matmul(p, value), p
