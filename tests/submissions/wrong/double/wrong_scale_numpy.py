# expect: numpy-roundtrip scale-dk
import numpy as np
import torch


def attention(query, key, value, mask=None):
    s = (query @ key.mT / query.size(-1)).detach()
    if mask is not None:
        s = s.masked_fill(~mask, -1e9)
    e = np.exp(s.numpy() - s.numpy().max(-1, keepdims=True))
    w = torch.from_numpy(e / e.sum(-1, keepdims=True))
    return w @ value, w
