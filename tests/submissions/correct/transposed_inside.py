# expect: correct
# works in (T, B, H, D), consistently, and goes back at the end
import torch


def attention(q, k, v, mask=None):
    q, k, v = [x.permute(2, 0, 1, 3) for x in (q, k, v)]
    s = torch.einsum("ibhd,jbhd->bhij", q, k) * q.size(-1) ** -0.5
    if mask is not None:
        s = s.masked_fill(~mask, -1e9)
    a = s.softmax(-1)
    o = torch.einsum("bhij,jbhd->ibhd", a, v)
    return o.permute(1, 2, 0, 3), a
