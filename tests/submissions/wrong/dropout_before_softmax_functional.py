# expect: dropout-before-softmax
import torch.nn.functional as F


def attention(query, key, value, mask=None, dropout_p=0.0, training=False):
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    scores = F.dropout(scores, dropout_p, training)
    weights = scores.softmax(-1)
    return weights @ value, weights
