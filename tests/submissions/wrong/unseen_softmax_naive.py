# expect: softmax-naive
import math
import torch


def my_softmax(x):
    """e^x_i / sum_j e^x_j"""
    exps = torch.exp(x)
    return exps / exps.sum(dim=-1, keepdim=True)


def attention(query, key, value, mask=None):
    scores = torch.matmul(query, key.transpose(-2, -1))
    scores = scores / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(mask.logical_not(), float('-inf'))
    weights = my_softmax(scores)
    out = torch.matmul(weights, value)
    return out, weights
