# expect: softmax-flat
import torch


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    shape = scores.shape
    weights = torch.softmax(scores.reshape(*shape[:-2], -1), dim=-1).reshape(shape)
    return weights @ value, weights
