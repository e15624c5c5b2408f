# expect: mask-multiplied
import torch
from torch.nn.functional import softmax


def apply_mask(scores, mask):
    if mask is None:
        return scores
    return scores * mask      # True = 1 keeps it, False = 0 removes it


def attention(query, key, value, mask=None):
    scale = query.shape[-1] ** 0.5
    scores = torch.matmul(query, key.transpose(-1, -2)) / scale
    scores = apply_mask(scores, mask)
    a = softmax(scores, dim=-1)
    return torch.matmul(a, value), a
