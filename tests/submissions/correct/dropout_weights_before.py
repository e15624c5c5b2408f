# expect: correct
import torch


def attention(q, k, v, mask=None, dropout=0.0, training=False):
    attn = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    if mask is not None:
        attn = attn.masked_fill(~mask, -1e9)
    attn = attn.softmax(-1)
    dropped = torch.nn.functional.dropout(attn, dropout, training)
    return dropped @ v, attn  # the weights as they were before dropout
