# expect: no-softmax
import math
import torch.nn.functional as F


def attention(q, k, v, mask=None):
    att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
    if mask is not None:
        att = att.masked_fill(mask == 0, float("-inf"))
    F.softmax(att, dim=-1)
    return att @ v
