# expect: scale-after-softmax
import math
import torch.nn.functional as F


def attention(q, k, v, mask=None):
    dots = q.matmul(k.transpose(2, 3))
    if mask is not None:
        dots = dots.masked_fill(mask == 0, -1e9)
    out = F.softmax(dots, dim=-1).matmul(v)
    return out / math.sqrt(k.shape[-1])
