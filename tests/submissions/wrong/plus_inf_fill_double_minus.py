# expect: plus-inf-fill
import torch


def attention(q, k, v, mask=None):
    s = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
    if mask is not None:
        s = s.masked_fill(mask == 0, -float("-inf"))
    w = torch.softmax(s, dim=-1)
    return w @ v, w
