# expect: cpu-scale-tensor
import torch


def attention(q, k, v, mask=None):
    s = q @ k.transpose(-2, -1) / torch.sqrt(torch.Tensor([q.size(-1)]))
    if mask is not None:
        s = s.masked_fill(~mask, float("-inf"))
    w = s.softmax(-1)
    return w @ v, w
