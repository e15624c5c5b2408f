# expect: mask-after-softmax
import math
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None, dropout_p=0.0, training=False):
    dk = key.size(-1)
    scores = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(dk)
    attn = F.softmax(scores, dim=-1)
    # no looking at the future / padding
    if mask is not None:
        attn = attn.masked_fill(~mask, 0.0)
    attn = F.dropout(attn, p=dropout_p, training=training)
    return torch.matmul(attn, value), attn
