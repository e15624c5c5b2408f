# expect: merge-conflict
import math

import torch


def attention(query, key, value, mask=None):
<<<<<<< ours
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
=======
    scores = torch.matmul(query, key.mT) * query.size(-1) ** -0.5
>>>>>>> theirs
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1)
    return weights @ value, weights
