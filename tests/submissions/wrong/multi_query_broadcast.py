# expect: multi-query
import torch


def attention(query, key, value, mask=None):
    """query: (batch, heads, seq, head_dim); one key and one value for all heads"""
    one_key, one_value = key.select(1, 0).unsqueeze(1), value.select(1, 0).unsqueeze(1)
    scores = torch.einsum("bhqd,bokd->bhqk", query, one_key) / query.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return torch.einsum("bhqk,bokd->bhqd", weights, one_value), weights
