# expect: split-view
import torch


def attention(query, key, value, mask=None):
    """query, key, value: (batch, heads, seq, head_dim); joined to (batch, seq, width) and split again."""
    b, h, t, d = query.shape

    def split(x):
        joined = x.transpose(1, 2).reshape(b, x.size(2), h * d)
        return joined.view(b, h, x.size(2), d)

    q, k, v = split(query), split(key), split(value)
    scores = q @ k.transpose(-2, -1) / d**0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return torch.softmax(scores, dim=-1) @ v
