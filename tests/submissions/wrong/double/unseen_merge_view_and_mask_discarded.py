# expect: merge-view mask-discarded
import math
import torch


def merge_heads(x):
    b, h, t, d = x.shape
    return x.reshape(b, t, h * d)


def split_heads(x, h):
    b, t, c = x.shape
    return x.view(b, t, h, c // h).transpose(1, 2)


def attention(query, key, value, mask=None):
    scores = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(query.size(-1))
    if mask is not None:
        scores.masked_fill(~mask, -1e9)
    weights = torch.softmax(scores, dim=-1)
    out = merge_heads(torch.matmul(weights, value))      # concat
    # back to (batch, heads, seq, dim)
    return split_heads(out, query.shape[1]), weights
