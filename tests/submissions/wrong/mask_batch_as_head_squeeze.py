# expect: mask-batch-as-head
import torch


def attention(q, k, v, mask=None):
    batch, heads, seq, dim = q.shape
    s = q @ k.transpose(-2, -1) / dim ** 0.5
    if mask is not None:
        mask = mask.squeeze(1)           # (batch, seq, seq)
        s = s.masked_fill(~mask, float("-inf"))
    w = s.softmax(-1)
    return w @ v, w
