# expect: correct
import math

import torch.nn.functional as F


def attention(query, key, value, mask=None, dropout_p=0.1, training=False):
    """0.1 is only what it is when nothing is passed."""
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = F.dropout(F.softmax(scores, dim=-1), p=dropout_p, training=training)
    return weights @ value
