# expect: mask-repeat-order
import torch


def attention(q, k, v, mask=None):
    b, h, n, d = q.shape
    m = k.shape[2]
    Q, K, V = q.reshape(b * h, n, d), k.reshape(b * h, m, d), v.reshape(b * h, m, d)
    s = torch.bmm(Q, K.transpose(1, 2)) / d ** 0.5
    if mask is not None:
        s = s.masked_fill(~mask.squeeze(1).repeat(h, 1, 1), -1e9)
    w = torch.softmax(s, dim=-1)
    return torch.bmm(w, V).reshape(b, h, n, d), w.reshape(b, h, n, m)
