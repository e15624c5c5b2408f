# expect: softmax-flat
import torch


def attention(q, k, v, mask=None):
    b, h, n, d = q.shape
    m = k.shape[2]
    s = q @ k.transpose(-2, -1) / d ** 0.5
    if mask is not None:
        s = s.masked_fill(~mask, float("-inf"))
    w = torch.softmax(s.view(b, h, n * m), dim=-1).view(b, h, n, m)
    return w @ v, w
