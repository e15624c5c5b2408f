# expect: no-scale mask-fill-tiny
import torch


def attention(query, key, value, mask=None):
    scores = torch.matmul(query, key.transpose(-2, -1))
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -1e-9)
    weights = torch.softmax(scores, dim=-1)
    return torch.matmul(weights, value), weights
