# expect: split-view
import torch


def attention(q, k, v, mask=None):
    B, H, T, D = q.shape
    S = k.shape[2]
    # merge to (B, T, C) first, then split into heads
    q = q.transpose(1, 2).reshape(B, T, H * D).view(B, H, T, D)
    k = k.transpose(1, 2).reshape(B, S, H * D).view(B, H, S, D)
    v = v.transpose(1, 2).reshape(B, S, H * D).view(B, H, S, D)
    s = q @ k.transpose(-2, -1) / D ** 0.5
    if mask is not None:
        s = s.masked_fill(~mask, float("-inf"))
    w = s.softmax(-1)
    return w @ v, w
