# expect: mask-fill-zero
import torch


def attention(q, k, v, mask=None):
    s = torch.bmm(q, k.transpose(1, 2)) / q.size(2) ** 0.5
    if mask is not None:
        s = torch.where(mask, s, torch.zeros_like(s))
    w = torch.softmax(s, dim=2)
    return torch.bmm(w, v), w
