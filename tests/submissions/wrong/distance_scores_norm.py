# expect: distance-scores
import torch


def attention(query, key, value, mask=None):
    difference = query.unsqueeze(-2) - key.unsqueeze(-3)
    scores = -torch.linalg.vector_norm(difference, dim=-1) / query.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1)
    return weights @ value, weights
