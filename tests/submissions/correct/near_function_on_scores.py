# expect: correct
# A minus before the scores twice, and relu on what is positive anyway.
import math

import torch
from torch.nn import functional as F


def attention(query, key, value, mask=None):
    scores = -(query @ key.transpose(-2, -1)) / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, float("inf"))
    below = F.relu(scores - scores.amin(dim=-1, keepdim=True))
    weights = F.softmin(below, dim=-1)
    return weights @ value, weights
