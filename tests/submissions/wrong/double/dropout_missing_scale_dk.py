# expect: dropout-missing scale-dk
import torch


def attention(q, k, v, mask=None, dropout_p=0.0, training=False):
    s = q @ k.transpose(-2, -1) / k.shape[-1]
    if mask is not None:
        s = s.masked_fill(~mask, float("-inf"))
    return s.softmax(-1) @ v
