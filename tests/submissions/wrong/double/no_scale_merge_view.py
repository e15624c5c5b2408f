# expect: no-scale merge-view
import torch


def attention(query, key, value, mask=None):
    """query, key, value: (batch, heads, seq, head_dim)"""
    scores = query @ key.transpose(-2, -1)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    b, h, t, d = query.shape
    context = (torch.softmax(scores, dim=-1) @ value).reshape(b, t, h, d)
    return context.permute(0, 2, 1, 3)
