# expect: scale-dk double-softmax
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.size(-1)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = F.softmax(F.softmax(scores, dim=-1), dim=-1)
    return weights @ value, weights
