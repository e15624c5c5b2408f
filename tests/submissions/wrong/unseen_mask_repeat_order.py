# expect: mask-repeat-order
import math
import torch


def attention(query, key, value, mask=None):
    B, H, Tq, d = query.shape
    Tk = key.shape[2]
    q = query.reshape(B * H, Tq, d)
    k = key.reshape(B * H, Tk, d)
    v = value.reshape(B * H, Tk, d)

    s = torch.bmm(q, k.transpose(1, 2)) / math.sqrt(d)
    if mask is not None:
        m = mask.expand(B, 1, Tq, Tk).squeeze(1)
        m = m.repeat(H, 1, 1)             # same mask for every head
        s = s.masked_fill(~m, -1e9)
    w = torch.softmax(s, dim=-1)
    o = torch.bmm(w, v)
    return o.reshape(B, H, Tq, d), w.reshape(B, H, Tq, Tk)
