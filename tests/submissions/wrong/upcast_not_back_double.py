# expect: upcast-not-back
import torch


def attention(query, key, value, mask=None):
    q, k, v = (x.to(torch.float32) for x in (query, key, value))
    scores = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return torch.softmax(scores, dim=-1) @ v
