# expect: kT-view
import torch


def attention(q, k, v, mask=None):
    b, h, t, d = k.shape
    s = q @ k.view(b, h, d, t) / d ** 0.5
    if mask is not None:
        s = s.masked_fill(~mask, float("-inf"))
    w = s.softmax(-1)
    return w @ v, w
