# expect: merge-view
import torch


def attention(query, key, value, mask=None):
    """query, key, value: (batch, heads, seq, head_dim)"""
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    b, h, t, d = query.shape
    context = (torch.softmax(scores, dim=-1) @ value).contiguous().view(b, t, h * d)
    return context.view(b, t, h, d).transpose(1, 2)
