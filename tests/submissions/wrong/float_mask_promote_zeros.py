# expect: float-mask-promote
import torch


def attention(q, k, v, mask=None):
    s = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
    if mask is not None:
        bias = torch.zeros(mask.shape)
        bias[~mask] = float("-inf")
        s = s + bias
    w = s.softmax(-1)
    return w @ v, w
