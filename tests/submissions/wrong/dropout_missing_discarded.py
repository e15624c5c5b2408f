# expect: dropout-missing
import math
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None, p=0.0, training=False):
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -1e9)
    weights = F.softmax(scores, dim=-1)
    if training:
        F.dropout(weights, p)
    return torch.matmul(weights, value)
