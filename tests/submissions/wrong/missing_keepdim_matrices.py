# expect: missing-keepdim
import numpy as np
import torch


def softmax(scores):
    exps = torch.exp(scores - torch.amax(scores, -1, True))
    return exps / torch.sum(exps, -1)


def attention(queries, keys, values, mask=None):
    """(seq, d_k) each"""
    scores = torch.mm(queries, keys.transpose(0, 1)) / np.sqrt(queries.shape[1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    return torch.mm(softmax(scores), values)
