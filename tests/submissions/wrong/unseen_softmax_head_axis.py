# expect: softmax-head-axis
import math
import torch
import torch.nn as nn

softmax = nn.Softmax(dim=1)      # dim 0 is the batch, so normalise over dim 1


def attention(q, k, v, mask=None):
    att = q @ k.transpose(-2, -1) * (1.0 / math.sqrt(k.size(-1)))
    if mask is not None:
        att = att.masked_fill(mask == 0, torch.finfo(att.dtype).min)
    att = softmax(att)
    y = att @ v
    return y, att
