# expect: merge-view
import torch


def attention(q, k, v, mask=None):
    B, H, T, D = q.shape
    s = q @ k.transpose(-2, -1) / D ** 0.5
    if mask is not None:
        s = s.masked_fill(~mask, float("-inf"))
    w = s.softmax(-1)
    out = (w @ v).reshape(B, T, H * D)              # merge heads
    return out.view(B, T, H, D).transpose(1, 2), w
