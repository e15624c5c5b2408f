# expect: mask-first-example
import torch


def attention(query, key, value, mask=None):
    """query, key, value: (batch, heads, seq, head_dim)"""
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask[:1].expand(query.size(0), -1, -1, -1), float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights
