# expect: correct
import math

import torch


def attention(query, key, value, mask=None, cap=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    if cap:
        scores = cap * torch.tanh(scores / cap)
    # What is masked is masked once more, and the largest score is subtracted as softmax does.
    if mask is not None:
        scores = torch.where(mask, scores, -math.inf)
    weights = torch.softmax(scores - scores.amax(dim=-1, keepdim=True), dim=-1)
    return weights @ value, weights
