# expect: only-itself
import torch
def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    t, s = scores.shape[-2:]
    keep = torch.ones(t, s, dtype=torch.bool).tril(s - t).triu(s - t)
    scores = scores.masked_fill(~keep, float("-inf"))
    w = scores.softmax(-1)
    return w @ value, w
