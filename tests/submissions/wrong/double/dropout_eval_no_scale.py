# expect: dropout-eval no-scale
import torch
import torch.nn.functional as F


def attention(q, k, v, mask=None, dropout_p=0.1):
    s = q @ k.transpose(-2, -1)
    if mask is not None:
        s = s.masked_fill(~mask, -1e9)
    return F.dropout(s.softmax(-1), 0.1) @ v
