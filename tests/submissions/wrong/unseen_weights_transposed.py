# expect: weights-transposed
import math
import torch


def attention(Q, K, V, mask=None):
    scores = torch.einsum("bhid,bhjd->bhij", Q, K) / math.sqrt(Q.size(3))
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -1e9)
    weights = torch.softmax(scores, dim=3)
    out = torch.einsum("bhij,bhid->bhjd", weights, V)
    return out, weights
