# expect: correct
import numpy as np
import torch


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / np.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(torch.from_numpy(np.logical_not(mask.numpy())), -np.inf)
    weights = scores.softmax(dim=-1)
    return weights @ value, weights
