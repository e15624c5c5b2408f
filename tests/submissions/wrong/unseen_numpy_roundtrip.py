# expect: numpy-roundtrip
import numpy as np
import torch


def np_softmax(x):
    x = x - np.max(x, axis=-1, keepdims=True)
    e = np.exp(x)
    return e / np.sum(e, axis=-1, keepdims=True)


def attention(query, key, value, mask=None):
    scores = torch.matmul(query, key.transpose(-2, -1)) / np.sqrt(query.shape[-1])
    s = scores.detach().cpu().float().numpy()
    if mask is not None:
        s = np.where(mask.cpu().numpy(), s, -1e9)
    w = torch.from_numpy(np_softmax(s)).to(query)
    return torch.matmul(w, value), w
