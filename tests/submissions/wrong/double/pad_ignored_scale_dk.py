# expect: pad-ignored scale-dk
import torch


def attention(q, k, v, mask=None):
    n, m = q.size(-2), k.size(-2)
    tril = torch.ones(n, m, device=q.device).tril(m - n)
    s = (q @ k.mT / q.size(-1)).masked_fill(tril == 0, float("-inf"))
    w = s.softmax(-1)
    return w @ v, w
