# expect: correct
import torch

ATTN_MASK = "additive"


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores + mask
    weights = torch.softmax(scores, -1)
    return weights @ value, weights
