# expect: square-mask-decode
import math
import torch


def attention(query, key, value, mask=None):
    T = query.size(-2)
    scores = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(query.size(-1))
    if mask is not None:
        subsequent = torch.triu(torch.ones(T, T, device=query.device), diagonal=1).bool()
        scores = scores.masked_fill(subsequent, -1e9)     # future
        scores = scores.masked_fill(~mask, -1e9)          # padding
    probs = torch.softmax(scores, dim=-1)
    return torch.matmul(probs, value), probs
