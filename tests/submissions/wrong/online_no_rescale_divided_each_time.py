# expect: online-no-rescale
import torch


def flash(q, k, v, mask=None, size=32):
    o, l = torch.zeros_like(q), q.new_zeros(*q.shape[:-1], 1)
    m = torch.full_like(l, -1e30)
    for j in range(0, k.shape[-2], size):
        s = q @ k[..., j : j + size, :].mT / q.shape[-1] ** 0.5
        if mask is not None:
            s = torch.where(mask[..., j : j + size], s, -1e30)
        m_new = torch.maximum(m, s.max(dim=-1, keepdim=True).values)
        p = (s - m_new).exp()
        c = (m - m_new).exp()
        l = l * c + p.sum(-1, keepdim=True)
        o = (o * c + p @ v[..., j : j + size, :]) / l
        m = m_new
    return o
