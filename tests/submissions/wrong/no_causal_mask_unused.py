# expect: no-causal-mask
import torch


def attention(q, k, v, mask=None):
    scores = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
    weights = torch.softmax(scores, dim=-1)
    return weights @ v, weights
