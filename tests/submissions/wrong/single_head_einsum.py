# expect: single-head
import math
import torch


def attention(query, key, value, mask=None):
    scores = torch.einsum("bhqd,bhkd->bqk", query, key) / math.sqrt(query.size(-1))
    scores = scores.unsqueeze(1)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return torch.softmax(scores, dim=-1) @ value
