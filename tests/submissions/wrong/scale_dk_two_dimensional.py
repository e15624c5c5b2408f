# expect: scale-dk
import torch


def attention(q, k, v, mask=None):
    T, d = q.shape
    s = q @ k.T * (1.0 / d)
    if mask is not None:
        s = torch.where(mask, s, torch.tensor(float("-inf"), dtype=s.dtype))
    w = torch.softmax(s, 1)
    return w @ v, w
