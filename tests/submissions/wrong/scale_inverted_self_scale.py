# expect: scale-inverted
import torch


def attention(q, k, v, mask=None):
    scale = k.shape[-1] ** -0.5
    scores = q @ k.transpose(-2, -1) / scale
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    w = torch.softmax(scores, dim=-1)
    return w @ v, w
