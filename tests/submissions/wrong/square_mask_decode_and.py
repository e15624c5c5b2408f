# expect: square-mask-decode
import torch


def attention(q, k, v, mask=None):
    T = q.size(-2)
    keep = torch.tril(torch.ones(T, T, device=q.device)).bool()
    if mask is not None:
        keep = keep & mask
    s = (q @ k.transpose(-2, -1) / q.size(-1) ** 0.5).masked_fill(~keep, float("-inf"))
    w = s.softmax(-1)
    return w @ v, w
