# expect: dropout-on-output
import torch
import torch.nn.functional as F


def attention(q, k, v, mask=None, dropout_p=0.0, training=False):
    s = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
    if mask is not None:
        s = s.masked_fill(~mask, float("-inf"))
    w = s.softmax(-1)
    return F.dropout(w @ v, p=dropout_p, training=training), w
