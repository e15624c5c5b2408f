# expect: function-on-scores
import math

import torch
from torch.nn import functional as F


def attention(q, k, v, mask=None):
    distance = torch.matmul(q, k.mT) / math.sqrt(q.size(-1))
    if mask is not None:
        distance = distance.masked_fill(mask == 0, 1e9)
    weights = F.softmin(distance, dim=-1)
    return torch.matmul(weights, v), weights
