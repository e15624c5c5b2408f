# expect: uninit-empty
import math

import torch


def attention(q, k, v, mask=None):
    b, h, t, d = q.shape
    s = k.shape[2]
    start = torch.empty(b * h, t, s, dtype=q.dtype, device=q.device)
    scores = torch.baddbmm(start, q.reshape(b * h, t, d), k.reshape(b * h, s, d).mT, alpha=1 / math.sqrt(d))
    scores = scores.view(b, h, t, s)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1)
    return weights @ v, weights
