# expect: online-correction-inverted
import torch


def attention(q, k, v, mask=None, block=4):
    m = torch.full(q.shape[:-1] + (1,), -1e4, dtype=q.dtype)
    l, o = torch.zeros_like(m), torch.zeros_like(q)
    for j in range(0, k.shape[-2], block):
        s = q @ k[..., j : j + block, :].mT * q.shape[-1] ** -0.5
        if mask is not None:
            s = s.masked_fill(~mask[..., j : j + block], -1e4)
        new = torch.maximum(m, s.amax(-1, keepdim=True))
        p = torch.exp(s - new)
        c = torch.exp(new - m) if j else torch.zeros_like(m)
        l = l * c + p.sum(-1, keepdim=True)
        o = o * c + p @ v[..., j : j + block, :]
        m = new
    return o / l
