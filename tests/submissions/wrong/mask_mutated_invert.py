# expect: mask-mutated
import torch


def attention(q, k, v, mask=None):
    s = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
    if mask is not None:
        blocked = mask.logical_not_()
        s = s.masked_fill(blocked, float("-inf"))
    w = s.softmax(-1)
    return w @ v, w
