# expect: correct
import math

import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None, dropout_p=0.0, training=False):
    q = query / math.sqrt(query.size(-1))       # scale q once instead of the T x T scores
    attn_bias = None
    if mask is not None:
        attn_bias = torch.zeros(mask.shape, dtype=query.dtype, device=query.device)
        attn_bias = attn_bias.masked_fill(mask.logical_not(), -1e4)

    attn = q @ key.mT
    if attn_bias is not None:
        attn = attn + attn_bias

    attn = F.softmax(attn, dim=-1)
    attn = F.dropout(attn, dropout_p, training)
    return attn @ value, attn
