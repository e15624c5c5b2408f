# expect: mask-mutated scale-twice
import math
import torch


def attention(query, key, value, mask=None):
    d = query.size(-1)
    query = query * d ** -0.5
    scores = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(d)
    if mask is not None:
        torch.logical_not(mask, out=mask)
        scores = scores.masked_fill(mask, -1e9)
    attn = torch.softmax(scores, dim=-1)
    return torch.matmul(attn, value)
