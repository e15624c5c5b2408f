# expect: cpu-scale-tensor
import torch


def attention(query, key, value, mask=None):
    scale = torch.FloatTensor([query.size(-1)]).rsqrt()
    scores = query @ key.transpose(-2, -1) * scale
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1)
    return weights @ value, weights
