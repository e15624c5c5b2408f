# expect: softmax-query-axis
import torch


def attention(q, k, v, mask=None):
    s = torch.mm(q, k.t()) / q.size(1) ** 0.5
    if mask is not None:
        s = s.masked_fill(~mask, -1e30)
    w = torch.softmax(s, 0)
    return torch.mm(w, v), w
