# expect: float-mask-promote no-scale
import torch


def attention(q, k, v, mask=None):
    s = q @ k.transpose(-2, -1)
    if mask is not None:
        s = s + torch.zeros(mask.shape).masked_fill(~mask, float("-inf"))
    w = s.softmax(-1)
    return w @ v, w
