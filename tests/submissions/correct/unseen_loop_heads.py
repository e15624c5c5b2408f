# expect: correct
import math
import torch


def one_head(q, k, v, m):
    # q: (Tq, d)  k, v: (Tk, d)  m: (Tq, Tk) or None
    s = (q @ k.T) / math.sqrt(q.shape[1])
    if m is not None:
        s[~m] = float("-inf")
    w = torch.softmax(s, dim=1)
    return w @ v, w


def attention(query, key, value, mask=None):
    B, H, Tq, d = query.shape
    Tk = key.shape[2]
    if mask is not None:
        mask = mask.expand(B, H, Tq, Tk)
    all_out = []
    all_w = []
    for b in range(B):
        outs, ws = [], []
        for h in range(H):
            m = None if mask is None else mask[b, h]
            o, w = one_head(query[b, h], key[b, h], value[b, h], m)
            outs.append(o)
            ws.append(w)
        all_out.append(torch.stack(outs))
        all_w.append(torch.stack(ws))
    return torch.stack(all_out), torch.stack(all_w)
