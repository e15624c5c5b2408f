# expect: merge-conflict
import torch


def attention(q, k, v, mask=None):
<<<<<<< HEAD
    s = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
=======
    s = torch.matmul(q, k.transpose(-2, -1)) * q.size(-1) ** -0.5
>>>>>>> scale
    if mask is not None:
        s = s.masked_fill(~mask, float("-inf"))
    w = s.softmax(-1)
    return w @ v, w
