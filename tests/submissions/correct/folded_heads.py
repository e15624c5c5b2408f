# expect: correct
# D2L style: heads folded into the batch
import math
import torch


def masked_softmax(X, keep):
    if keep is None:
        return torch.softmax(X, dim=-1)
    return torch.softmax(X.masked_fill(~keep, -1e6), dim=-1)


def attention(queries, keys, values, mask=None):
    b, h, n, d = queries.shape
    Q, K, V = (t.reshape(b * h, -1, d) for t in (queries, keys, values))
    scores = torch.bmm(Q, K.transpose(1, 2)) / math.sqrt(d)
    if mask is not None:
        mask = mask.expand(b, h, n, keys.shape[2]).reshape(b * h, n, -1)
    weights = masked_softmax(scores, mask)
    return torch.bmm(weights, V).reshape(b, h, n, d), weights.reshape(b, h, n, -1)
