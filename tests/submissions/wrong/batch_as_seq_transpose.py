# expect: batch-as-seq
import torch


def attention(q, k, v, mask=None):
    # I expect (T, B, ...) like nn.MultiheadAttention
    q, k, v = q.transpose(0, 2), k.transpose(0, 2), v.transpose(0, 2)
    s = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
    w = s.softmax(-1)
    return (w @ v).transpose(0, 2)
