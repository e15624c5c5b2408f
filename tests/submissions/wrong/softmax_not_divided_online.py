# expect: softmax-not-divided
import torch


def attention(q, k, v, mask=None, block=4):
    top = torch.full(q.shape[:-1] + (1,), -1e30, dtype=q.dtype)
    total, out = torch.zeros_like(top), torch.zeros_like(q)
    for j in range(0, k.shape[-2], block):
        s = q @ k[..., j : j + block, :].mT * q.shape[-1] ** -0.5
        if mask is not None:
            s = s.masked_fill(~mask[..., j : j + block], -1e30)
        new = torch.maximum(top, s.amax(-1, keepdim=True))
        p, correction = torch.exp(s - new), torch.exp(top - new)
        total = total * correction + p.sum(-1, keepdim=True)
        out = out * correction + p @ v[..., j : j + block, :]
        top = new
    return out
