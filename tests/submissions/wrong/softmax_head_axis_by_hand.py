# expect: softmax-head-axis
import torch


def softmax(x, axis=1):
    e = torch.exp(x - x.amax(axis, keepdim=True))
    return e / e.sum(axis, keepdim=True)


def attention(q, k, v, mask=None):
    s = torch.einsum("bhnd,bhmd->bhnm", q, k) * q.shape[-1] ** -0.5
    if mask is not None:
        s = s.masked_fill(~mask, torch.finfo(s.dtype).min)
    return torch.einsum("bhnm,bhmd->bhnd", softmax(s), v)
