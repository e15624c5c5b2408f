# expect: no-scale mask-after-softmax
import torch


def attention(q, k, v, mask=None):
    w = (q @ k.mT).softmax(-1)
    if mask is not None:
        w = w * mask
    return w @ v, w
