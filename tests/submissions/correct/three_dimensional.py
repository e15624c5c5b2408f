# expect: correct
# one head: (batch, seq, dim)
import torch


def attention(query, key, value, mask=None):
    assert query.dim() == 3, "expects (batch, seq, dim)"
    scale = query.shape[2] ** 0.5
    scores = torch.bmm(query, key.transpose(1, 2)) / scale
    if mask is not None:
        scores = scores.masked_fill(mask == False, float("-inf"))
    weights = torch.softmax(scores, dim=2)
    return torch.bmm(weights, value), weights
