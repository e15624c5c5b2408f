# expect: softmax-head-axis
import math
import torch
from torch import nn


def attention(query, key, value, mask=None):
    scores = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -1e9)
    weights = nn.Softmax(dim=1)(scores)
    return torch.matmul(weights, value), weights
