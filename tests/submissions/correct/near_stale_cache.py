# expect: correct
import torch

masks = {}


def causal(query_len, key_len):
    if (query_len, key_len) not in masks:
        masks[query_len, key_len] = torch.ones(query_len, key_len, dtype=torch.bool).tril(key_len - query_len)
    return masks[query_len, key_len]


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) * query.size(-1) ** -0.5
    scores = scores.masked_fill(~causal(query.size(-2), key.size(-2)), -1e30)
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e30)
    weights = scores.softmax(dim=-1)
    return weights @ value, weights
