# expect: diag-off-strict
import torch


def attention(q, k, v):
    tq, tk = q.size(-2), k.size(-2)
    blocked = torch.triu(torch.ones(tq, tk, device=q.device), diagonal=tk - tq).bool()
    s = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
    s = s.masked_fill(blocked, float("-inf"))
    w = s.softmax(-1)
    return w @ v, w
