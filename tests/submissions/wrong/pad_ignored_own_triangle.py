# expect: pad-ignored
import torch


def attention(q, k, v, mask=None):
    tq, tk = q.size(-2), k.size(-2)
    tril = torch.tril(torch.ones(tq, tk, device=q.device), diagonal=tk - tq)
    s = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
    s = s.masked_fill(tril == 0, float("-inf"))
    w = s.softmax(-1)
    return w @ v, w
