# expect: scale-dmodel
import torch


class Head:
    """Sizes of the layer."""

    def __init__(self, query):
        self.d_model = query.size(1) * query.size(3)


def attention(query, key, value, mask=None):
    """query, key, value: (batch, heads, seq, head_dim)"""
    scores = query @ key.transpose(2, 3) * Head(query).d_model ** -0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=3)
    return weights @ value, weights
