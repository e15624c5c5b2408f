# expect: heads-averaged
import torch


def attention(query, key, value, mask=None):
    """query, key, value: (batch, heads, seq, head_dim)"""
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    heads = torch.stack([weights[:, i] @ value[:, i] for i in range(query.size(1))])
    return heads.mean(0).unsqueeze(1).repeat(1, query.size(1), 1, 1), weights
