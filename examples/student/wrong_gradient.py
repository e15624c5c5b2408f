"""Right numbers, cut graph: the detour over NumPy gives every output exactly and no gradient for query and key."""

import math

import numpy as np
import torch


def attention(query, key, value, mask=None):
    attn_scores = (query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])).detach().double().numpy()
    if mask is not None:
        attn_scores = np.where(mask.numpy(), attn_scores, -np.inf)
    exponentials = np.exp(attn_scores - attn_scores.max(axis=-1, keepdims=True))
    attn_weights = torch.from_numpy(exponentials / exponentials.sum(axis=-1, keepdims=True)).to(value.dtype)
    return attn_weights @ value, attn_weights
