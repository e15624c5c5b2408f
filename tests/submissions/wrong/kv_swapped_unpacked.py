# expect: kv-swapped
import torch


def attention(query, key, value, mask=None):
    q, v, k = query, key, value
    s = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
    if mask is not None:
        s = s.masked_fill(~mask, float("-inf"))
    w = torch.softmax(s, dim=-1)
    return w @ v, w
