# expect: correct
import math

import torch


def attention(query, key, value, mask=None):
    """query, key, value: (batch, heads, seq, head_dim); key and value once for every query head."""
    copies = query.shape[1] // key.shape[1]
    key, value = key.repeat(1, copies, 1, 1), value.repeat(1, copies, 1, 1)  # one copy of each
    scores = torch.matmul(query, key.transpose(2, 3)) / math.sqrt(query.shape[3])
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return torch.matmul(scores.softmax(dim=3), value)
