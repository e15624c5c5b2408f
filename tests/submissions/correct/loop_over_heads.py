# expect: correct
import torch


def _single_head(q, k, v, mask):
    s = torch.mm(q, k.t()).div(q.size(1) ** 0.5)
    if mask is not None:
        s = torch.where(mask, s, torch.full_like(s, float("-inf")))
    a = s.softmax(1)
    return a.mm(v), a


def attention(query, key, value, mask=None):
    B, H = query.shape[:2]
    out = torch.zeros_like(query)
    att = query.new_zeros(B, H, query.shape[2], key.shape[2])
    for b in range(B):
        for h in range(H):
            m = None if mask is None else mask[b, 0]
            out[b, h], att[b, h] = _single_head(query[b, h], key[b, h], value[b, h], m)
    return out, att
