# expect: mask-float-added-bias
import torch


def attention(q, k, v, mask=None):
    w = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
    w = w - 1e4
    if mask is not None:
        w = w.masked_fill(~mask, float("-inf"))
    w = w.softmax(-1)
    return w @ v, w
