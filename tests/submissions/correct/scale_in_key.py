# expect: correct
import numpy as np
import torch


def attention(q, k, v, mask=None):
    kt = k.transpose(-1, -2) / float(np.sqrt(k.shape[-1]))
    scores = q @ kt
    if mask is not None:
        scores.masked_fill_(mask == 0, -float("inf"))
    w = torch.nn.functional.softmax(scores, dim=-1)
    return w @ v
