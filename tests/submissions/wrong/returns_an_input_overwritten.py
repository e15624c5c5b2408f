# expect: returns-an-input
import torch


def attention(q, k, v, mask=None):
    out = k
    attn = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    if mask is not None:
        attn = attn.masked_fill(~mask, torch.finfo(attn.dtype).min)
    attn = attn.softmax(dim=-1)
    torch.matmul(attn, v)
    return out, attn
