# expect: no-scale q-data
import torch


def attention(query, key, value, mask=None):
    scores = torch.einsum("bhqd,bhkd->bhqk", query.data, key)
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -1e9)
    return torch.softmax(scores, dim=-1) @ value
