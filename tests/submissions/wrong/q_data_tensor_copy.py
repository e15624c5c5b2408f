# expect: q-data
import torch


def attention(query, key, value, mask=None):
    copied = torch.tensor(query.detach().numpy()) if query.dtype == torch.float32 else query.detach().clone()
    scores = copied @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights
