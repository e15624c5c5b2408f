# expect: pad-side-assumed
import math

import torch


def attention(query, key, value, mask=None):
    length = key.size(-2)
    scores = torch.matmul(query, key.transpose(2, 3)) / math.sqrt(query.size(-1))
    causal = torch.ones(query.size(-2), length, dtype=torch.bool).tril(length - query.size(-2))
    if mask is not None:
        valid = mask[:, :, -1:].sum(-1, keepdim=True)
        causal = causal & (torch.arange(length) < valid)
    weights = torch.softmax(torch.where(causal, scores, float("-1e9")), dim=-1)
    return torch.matmul(weights, value), weights
