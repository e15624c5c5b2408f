# expect: softmax-query-axis
import torch


def attention(query, key, value, mask=None):
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key) / query.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    weights = torch.nn.Softmax(dim=2)(scores)
    return torch.einsum("bhqk,bhkd->bhqd", weights, value), weights
