# expect: scale-dmodel
import math


def attention(q, k, v, mask=None):
    B, H, T, D = q.shape
    C = H * D
    att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(C))
    if mask is not None:
        att = att.masked_fill(~mask, float("-inf"))
    att = att.softmax(dim=-1)
    return att @ v, att
