# expect: numpy-roundtrip
import numpy as np
import torch


def attention(query, key, value, mask=None):
    scores = (query @ key.transpose(-2, -1)).detach().numpy() / np.sqrt(query.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -1e9)
    return torch.softmax(scores, -1) @ value
