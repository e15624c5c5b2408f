# expect: correct
import torch.nn.functional as F


def attention(q, k, v, mask=None):
    s = q @ k.mT * q.shape[-1] ** -0.5
    if mask is not None:
        s = s.masked_fill(~mask, -1e9)
    return F.softmax(s, -1) @ v
