# expect: correct
import math
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None, dropout_p=0.0, training=False):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = F.dropout(scores.softmax(dim=-1), p=dropout_p, training=training)
    return weights @ value, weights
