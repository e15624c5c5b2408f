# expect: correct
import torch


def attention(q, k, v, mask=None):
    # fourth root into both factors: numerically nicer in half precision
    s = q.size(-1) ** -0.25
    scores = (q * s) @ (k * s).transpose(-2, -1)
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    w = scores.softmax(-1)
    return w @ v, w
