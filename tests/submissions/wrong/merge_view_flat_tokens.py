# expect: merge-view
import math
import torch


def attention(query, key, value, mask=None):
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -1e9)
    context = torch.einsum("bhqk,bhkd->bhqd", torch.softmax(scores, -1), value)
    return context.contiguous().view(query.size(0), query.size(2), -1)
