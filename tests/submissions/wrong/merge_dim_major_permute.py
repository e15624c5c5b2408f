# expect: merge-dim-major
import torch


def attention(q, k, v, mask=None):
    b, h, t, d = q.shape
    s = q @ k.transpose(-2, -1) / d ** 0.5
    if mask is not None:
        s = s.masked_fill(~mask, float("-inf"))
    w = s.softmax(-1)
    o = torch.einsum("bhqk,bhkd->bqdh", w, v).reshape(b, t, d * h)
    return o.view(b, t, h, d).transpose(1, 2), w
