# expect: correct
import torch


def attention(query, key, value):
    queries, keys = query.shape[-2], key.shape[-2]
    # The zeros stay where a key may be attended to; minus infinity stands above them.
    bias = torch.zeros(queries, keys, dtype=query.dtype)
    bias += torch.full_like(bias, float("-inf")).triu(keys - queries + 1)
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    return (scores + bias).softmax(dim=-1) @ value
