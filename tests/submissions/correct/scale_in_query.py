# expect: correct
import torch


def attention(q, k, v, mask=None):
    q = q * (q.shape[-1] ** -0.5)
    dots = q @ k.transpose(-1, -2)
    if mask is not None:
        dots = dots.masked_fill(~mask, -torch.finfo(dots.dtype).max)
    attn = dots.softmax(dim=-1)
    return attn @ v, attn
