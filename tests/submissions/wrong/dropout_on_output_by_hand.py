# expect: dropout-on-output
import torch


def attention(query, key, value, mask=None, dropout_p=0.0, training=False):
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    weights = scores.softmax(-1)
    context = weights @ value
    if training:
        context = context * (torch.rand_like(context) > dropout_p) / (1 - dropout_p)
    return context, weights
