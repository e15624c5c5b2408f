# expect: single-head
import torch
import torch.nn.functional as F


def attention(q, k, v, mask=None):
    b, h, t, d = q.shape
    wide = lambda x: x.transpose(1, 2).reshape(b, -1, h * d)
    Q, K, V = wide(q), wide(k), wide(v)
    s = torch.bmm(Q, K.transpose(1, 2)) / (h * d) ** 0.5
    if mask is not None:
        s = s.masked_fill(mask[:, 0] == 0, -1e9)
    out = torch.bmm(F.softmax(s, dim=-1), V)
    return out.view(b, t, h, d).transpose(1, 2)
