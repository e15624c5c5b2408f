# expect: half-precision-inside
import torch


def attention(q, k, v, mask=None):
    short = torch.bfloat16
    scores = (q.to(short) @ k.to(short).mT).to(q.dtype) * q.size(-1) ** -0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    return scores.softmax(-1) @ v
