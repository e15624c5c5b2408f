# expect: mask-fill-tiny
import torch

NEG = 1e-10


def attention(q, k, v, mask=None):
    logits = q @ k.mT * q.shape[-1] ** -0.5
    if mask is not None:
        logits = torch.where(mask, logits, NEG)
    return logits.softmax(-1) @ v
