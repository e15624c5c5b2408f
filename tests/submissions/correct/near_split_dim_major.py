# expect: correct
import math

import torch


def attention(query, key, value, mask=None):
    """query, key, value: (batch, heads, seq, head_dim). Each head's numbers reversed, and turned back in the end."""
    query, key, value = query.flip(-1), key.flip(-1), value.flip(-1)
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return (torch.softmax(scores, dim=-1) @ value).flip(-1)
