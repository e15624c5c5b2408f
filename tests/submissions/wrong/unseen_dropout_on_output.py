# expect: dropout-on-output
import math
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None, dropout_p=0.0, training=False):
    weights = torch.matmul(query, key.transpose(-2, -1))
    weights = weights / math.sqrt(query.size(-1))
    if mask is not None:
        weights = torch.where(mask, weights, torch.finfo(weights.dtype).min)
    weights = torch.softmax(weights, dim=-1)
    out = torch.matmul(weights, value)
    out = F.dropout(out, p=dropout_p, training=training)
    return out
