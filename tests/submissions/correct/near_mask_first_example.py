# expect: correct
import math

import torch


def attention(query, key, value, mask=None):
    """query, key, value: (batch, heads, seq, head_dim), mask: (batch, 1, seq, seq); one example after the other."""
    outputs = []
    for i in range(query.size(0)):
        scores = query[i] @ key[i].transpose(-2, -1) / math.sqrt(query.size(-1))
        if mask is not None:
            scores = scores.masked_fill(~mask[i if mask.size(0) > 1 else 0], float("-inf"))
        outputs.append(torch.softmax(scores, dim=-1) @ value[i])
    return torch.stack(outputs)
