# expect: float32-mixed-in
import math
import torch

GATE = torch.linspace(1.0, 1.0, 64)


def attention(query, key, value, mask=None):
    scores = (query * GATE[: query.shape[-1]]) @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(-1)
    return weights @ value, weights
