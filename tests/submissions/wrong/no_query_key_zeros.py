# expect: no-query-key
import torch


def attention(query, key, value, mask=None):
    scores = torch.zeros(*query.shape[:-1], key.size(-2), dtype=query.dtype)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights
