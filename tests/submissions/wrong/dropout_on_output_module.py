# expect: dropout-on-output
import math
import torch
from torch import nn


def attention(query, key, value, mask=None, dropout=0.0, train=False):
    layer = nn.Dropout(dropout)
    layer.train(train)
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -1e9)
    return layer(torch.softmax(scores, dim=-1).matmul(value))
