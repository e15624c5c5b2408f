# expect: mask-inverted
import torch


def causal(q, k, v):
    n = k.size(-2)
    tril = torch.tril(torch.ones(n, n, device=q.device)).bool()[-q.size(-2):]
    s = q @ k.mT / q.size(-1) ** 0.5
    s = s.masked_fill(tril, float("-inf"))
    w = torch.softmax(s, dim=-1)
    return w @ v, w
