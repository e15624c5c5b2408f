# expect: k-for-v
import math
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    dots = query @ key.transpose(-1, -2)
    dots = dots / math.sqrt(query.shape[-1])
    if mask is not None:
        dots = dots.masked_fill(~mask, -1e9)
    alpha = F.softmax(dots, dim=-1)
    # weighted sum
    context = alpha @ key
    return context, alpha
