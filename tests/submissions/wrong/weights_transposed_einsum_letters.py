# expect: weights-transposed
import torch


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    output = torch.bmm(weights.flatten(0, 1).transpose(1, 2), value.flatten(0, 1))
    return output.view_as(query), weights
