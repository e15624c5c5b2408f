# expect: dropout-eval
import math

import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None, dropout_p=0.1):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = F.dropout(torch.softmax(scores, dim=-1), dropout_p)
    return weights @ value
