# expect: softmax-flat
import torch


def attention(q, k, v, mask=None):
    logits = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    if mask is not None:
        logits = logits.masked_fill(~mask, -1e9)
    e = torch.exp(logits - torch.amax(logits, dim=-1, keepdim=True))
    p = e / torch.sum(e)
    return p @ v, p
