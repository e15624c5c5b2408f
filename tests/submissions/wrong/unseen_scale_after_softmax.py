# expect: scale-after-softmax
import numpy as np
import torch


def attention(query, key, value, mask=None):
    dim = query.size(-1)
    dots = torch.matmul(query, key.permute(0, 1, 3, 2))
    if mask is not None:
        dots = dots.masked_fill(mask == False, -1e9)  # noqa
    soft = torch.nn.Softmax(dim=-1)(dots)
    soft = soft / float(np.sqrt(dim))
    return torch.matmul(soft, value), soft
