# expect: hard-T
import math

import torch

TRIANGLE = torch.ones(8, 8, dtype=torch.bool).tril()


def attention(query, key, value, mask=None):
    n = query.size(-2)
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    scores = scores.masked_fill(~TRIANGLE[:n, : key.size(-2)], float("-inf"))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(dim=-1) @ value
