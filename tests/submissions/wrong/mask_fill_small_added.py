# expect: mask-fill-small
import torch


def attention(q, k, v, mask=None):
    scores = q @ k.mT / q.shape[-1] ** 0.5
    if mask is not None:
        scores = scores + (1 - mask.to(scores.dtype)) * -10
    return scores.softmax(-1) @ v
