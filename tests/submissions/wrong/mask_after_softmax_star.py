# expect: mask-after-softmax
import torch


def attention(q, k, v, mask=None):
    scores = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
    w = torch.softmax(scores, dim=-1)
    if mask is not None:
        w = w * mask
    return w @ v, w
