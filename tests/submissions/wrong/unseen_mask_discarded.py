# expect: mask-discarded
import math
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None, dropout_p=0.0, training=False):
    qk = torch.matmul(query, key.transpose(2, 3))
    qk = qk / math.sqrt(key.shape[3])
    if mask is not None:
        qk.masked_fill(mask == 0, float("-inf"))
    weights = F.softmax(qk, dim=3)
    weights = F.dropout(weights, dropout_p, training)
    return torch.matmul(weights, value), weights
