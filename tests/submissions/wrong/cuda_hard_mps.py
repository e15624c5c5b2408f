# expect: cuda-hard
import torch


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask.to("mps"), float("-inf"))
    return torch.softmax(scores, dim=-1) @ value
