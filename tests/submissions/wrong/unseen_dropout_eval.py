# expect: dropout-eval
import math
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None, dropout_p=0.0, training=False):
    scores = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    attn = torch.softmax(scores, dim=-1)
    dropped = F.dropout(attn, p=dropout_p)
    return torch.matmul(dropped, value), attn
