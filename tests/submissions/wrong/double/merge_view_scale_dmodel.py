# expect: merge-view scale-dmodel
import torch


def attention(q, k, v, mask=None):
    B, H, T, D = q.shape
    att = q @ k.transpose(-2, -1) / (H * D) ** 0.5
    if mask is not None:
        att = att.masked_fill(~mask, float("-inf"))
    y = att.softmax(-1) @ v
    return y.reshape(B, T, H, D).transpose(1, 2)
