# expect: inplace-input diag-off-loose
import math
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    key.mul_(1 / math.sqrt(key.size(-1)))
    scores = query @ key.transpose(-2, -1)
    if mask is not None:
        t, s = scores.shape[-2:]
        future = torch.triu(torch.ones(t, s, device=query.device), diagonal=s - t + 2).bool()
        padded = ~mask.any(dim=-2, keepdim=True)
        scores = scores.masked_fill(future, -1e9).masked_fill(padded, -1e9)
    w = F.softmax(scores, dim=-1)
    return w @ value, w
