# expect: softmax-query-axis
import torch


def attention(q, k, v, mask=None):
    logits = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    if mask is not None:
        logits = logits.masked_fill(~mask, -1e9)
    e = torch.exp(logits - logits.max(dim=-1, keepdim=True)[0])
    p = e / e.sum(dim=-2, keepdim=True)
    return p @ v, p
