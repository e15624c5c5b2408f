# expect: correct
import math

import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None, dropout_p=0.0, training=False):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    flat = F.dropout(weights.reshape(-1), dropout_p, training)  # every weight by itself
    return flat.view_as(weights) @ value
