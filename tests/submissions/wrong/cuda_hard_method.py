# expect: cuda-hard
import torch


def attention(q, k, v, mask=None):
    s = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
    keep = torch.tril(torch.ones(q.size(-2), k.size(-2))).cuda()
    s = s.masked_fill(keep == 0, float("-inf"))
    w = s.softmax(-1)
    return w @ v, w
