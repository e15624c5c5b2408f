# expect: dropout-before-softmax
import torch
import torch.nn.functional as F


def attention(q, k, v, mask=None, dropout_p=0.0, training=False):
    s = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
    if mask is not None:
        s = s.masked_fill(~mask, -1e9)
    s = F.dropout(s, p=dropout_p, training=training)
    w = s.softmax(-1)
    return w @ v, w
