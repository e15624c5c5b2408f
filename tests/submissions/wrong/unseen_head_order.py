# expect: head-order
import math
import torch


def scaled_dot(q, k, v, mask):
    s = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))
    if mask is not None:
        s = s.masked_fill(~mask, -1e9)
    w = torch.softmax(s, dim=-1)
    return w @ v, w


def attention(query, key, value, mask=None):
    num_heads = query.shape[1]
    outs = []
    weights = []
    for h in range(num_heads):
        m = None
        if mask is not None:
            m = mask[:, 0] if mask.dim() == 4 else mask
        o, w = scaled_dot(query[:, h], key[:, h], value[:, h], m)
        outs.insert(0, o)
        weights.insert(0, w)
    return torch.stack(outs, dim=1), torch.stack(weights, dim=1)
