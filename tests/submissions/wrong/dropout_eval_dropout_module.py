# expect: dropout-eval
import torch
from torch import nn

drop = nn.Dropout(0.1)


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = drop(torch.softmax(scores, dim=-1))
    return weights @ value, weights
