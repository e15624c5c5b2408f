# expect: dropout-before-softmax
import math
import torch
import torch.nn.functional as F


def attention(q, k, v, mask=None, dropout_p=0.0, training=False):
    att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
    if mask is not None:
        att = att.masked_fill(mask == 0, -1e9)
    att = F.dropout(att, p=dropout_p, training=training)
    att = F.softmax(att, dim=-1)
    y = att @ v
    return y, att
