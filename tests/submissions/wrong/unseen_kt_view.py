# expect: kT-view
import math
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    b, h, t, d = key.shape
    key_t = key.reshape(b, h, d, t)          # (.., d, t) for the matrix product
    scores = torch.matmul(query, key_t) / math.sqrt(d)
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    p = F.softmax(scores, dim=-1)
    return torch.matmul(p, value), p
