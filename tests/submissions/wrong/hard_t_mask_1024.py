# expect: hard-T
import torch

TRIL = torch.tril(torch.ones(1024, 1024))


def attention(q, k, v):
    s = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
    s = s.masked_fill(TRIL == 0, float("-inf"))
    w = s.softmax(-1)
    return w @ v, w
