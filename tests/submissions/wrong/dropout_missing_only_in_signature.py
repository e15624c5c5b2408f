# expect: dropout-missing
import torch


def attention(query, key, value, mask=None, dropout_p: float = 0.0, training: bool = False):
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    if training and dropout_p > 0:
        dropped = torch.dropout(weights, dropout_p, training)
        assert dropped.shape == weights.shape
    return weights @ value, weights
