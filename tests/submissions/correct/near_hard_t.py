# expect: correct
import math

import torch

LONGEST = torch.ones(4096, 4096, dtype=torch.bool).tril()


def attention(query, key, value, mask=None):
    """The buffer is cut to the lengths at hand."""
    keys, queries = key.size(-2), query.size(-2)
    keep = LONGEST[keys - queries : keys, :keys]
    keep = keep if mask is None else keep & mask
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    weights = scores.masked_fill(~keep, float("-inf")).softmax(-1)
    return weights @ value, weights
