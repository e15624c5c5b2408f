# expect: correct
import torch


def attention(query, key, value, mask=None):
    # more precision in the middle, back to the caller's dtype at the end
    q, k, v = query.double(), key.double(), value.double()
    scores = q @ k.transpose(2, 3) / q.size(3) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    w = scores.softmax(3)
    return (w @ v).to(query.dtype), w.to(query.dtype)
