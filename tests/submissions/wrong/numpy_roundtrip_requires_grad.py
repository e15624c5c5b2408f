# expect: numpy-roundtrip
import numpy as np
import torch


def attention(q, k, v, mask=None):
    s = torch.from_numpy(np.matmul(q.numpy(), np.swapaxes(k.numpy(), -1, -2))) / q.shape[-1] ** 0.5
    if mask is not None:
        s = s.masked_fill(mask == 0, float("-inf"))
    return torch.softmax(s, dim=-1) @ v
