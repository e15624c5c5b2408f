# expect: qk-swapped
import torch


def attention(query, key, value, mask=None):
    scores = torch.einsum("bhqd,bhkd->bhkq", query, key) / query.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return torch.einsum("bhqk,bhkd->bhqd", weights, value), weights
