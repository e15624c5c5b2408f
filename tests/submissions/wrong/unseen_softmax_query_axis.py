# expect: softmax-query-axis
import math
import torch


def attention(query, key, value, mask=None):
    n = query.shape[-1]
    scores = torch.matmul(query, key.transpose(2, 3)) / math.sqrt(n)
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    attn = torch.softmax(scores, dim=2)
    return torch.matmul(attn, value), attn
