# expect: sliding-window
import torch


def attention(query, key, value, mask=None):
    q_len, k_len = query.size(-2), key.size(-2)
    offset = k_len - q_len
    band = torch.ones(q_len, k_len, dtype=torch.bool).triu(offset - 5)  # six keys
    keep = band if mask is None else mask & band
    scores = (query @ key.transpose(-2, -1) / query.size(-1) ** 0.5).masked_fill(~keep, -1e9)
    weights = scores.softmax(dim=-1)
    return weights @ value, weights
