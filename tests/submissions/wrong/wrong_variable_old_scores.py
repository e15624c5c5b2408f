# expect: wrong-variable
import torch


def attention(q, k, v, mask=None):
    scores = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
    attn = scores.softmax(-1)
    if mask is not None:
        masked = scores.masked_fill(~mask, float("-inf"))
        attn_masked = masked.softmax(-1)
    else:
        attn_masked = attn
    return attn @ v, attn_masked
