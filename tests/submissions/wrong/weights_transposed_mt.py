# expect: weights-transposed
import torch


def attention(q, k, v):
    n = k.size(-2)
    s = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
    s = s.masked_fill(torch.ones(n, n, device=q.device).triu(1).bool(), float("-inf"))
    w = s.softmax(-1)
    return w.transpose(-2, -1) @ v, w
