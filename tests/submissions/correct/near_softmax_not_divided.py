# expect: correct
import torch


def attention(q, k, v, mask):
    s = torch.where(mask, q @ k.mT * q.shape[-1] ** -0.5, torch.finfo(q.dtype).min)
    p = torch.exp(s - s.amax(-1, keepdim=True))
    return (p @ v) / p.sum(-1, keepdim=True)
