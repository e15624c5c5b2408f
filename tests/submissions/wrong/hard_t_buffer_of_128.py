# expect: hard-T
import math

import torch

CAUSAL = torch.tril(torch.ones(128, 128, dtype=torch.bool))


def attention(query, key, value, mask=None):
    query_len, key_len = query.size(-2), key.size(-2)
    scores = query @ key.mT / math.sqrt(query.size(-1))
    scores = scores.masked_fill(~CAUSAL[key_len - query_len : key_len, :key_len], -1e9)
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    return scores.softmax(-1) @ value
