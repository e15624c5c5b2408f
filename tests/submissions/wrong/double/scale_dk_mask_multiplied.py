# expect: scale-dk mask-multiplied
import torch


def attention(q, k, v, mask=None):
    s = q @ k.transpose(-2, -1) / q.size(-1)
    if mask is not None:
        s = s * mask
    w = torch.softmax(s, dim=-1)
    return w @ v, w
