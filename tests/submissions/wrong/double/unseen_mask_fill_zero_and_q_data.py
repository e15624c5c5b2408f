# expect: mask-fill-zero q-data
import math
import torch


def attention(query, key, value, mask=None, dropout_p=0.0, training=False):
    q = query.detach()
    scores = torch.matmul(q, key.transpose(-2, -1)) / math.sqrt(q.size(-1))
    if mask is not None:
        scores = scores.masked_fill(mask.logical_not(), 0)
    weights = torch.softmax(scores, dim=-1)
    weights = torch.dropout(weights, dropout_p, training)
    return torch.matmul(weights, value), weights
