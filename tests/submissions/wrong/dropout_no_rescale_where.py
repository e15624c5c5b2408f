# expect: dropout-no-rescale
import torch


def attention(query, key, value, mask=None, dropout_p=0.0, training=False):
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    weights = scores.softmax(-1)
    if training:
        weights = weights.masked_fill(torch.rand_like(weights) < dropout_p, 0.0)
    return weights @ value, weights
