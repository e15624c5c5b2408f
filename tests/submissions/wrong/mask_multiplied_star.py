# expect: mask-multiplied
import torch


def attention(q, k, v, mask=None):
    scores = torch.matmul(q, k.transpose(-2, -1)) / q.size(-1) ** 0.5
    if mask is not None:
        scores = scores * mask
    w = scores.softmax(dim=-1)
    return torch.matmul(w, v), w
