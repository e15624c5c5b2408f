# expect: no-causal-mask
import math
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None, dropout_p=0.0, training=False):
    scores = query @ key.transpose(-2, -1)
    scores = scores * (1 / math.sqrt(query.size(-1)))
    if mask is not None:
        # key padding mask: (batch, 1, 1, key)
        pad = mask.any(dim=-2, keepdim=True)
        scores = scores.masked_fill(~pad, -1e9)
    attn = F.softmax(scores, dim=-1)
    return F.dropout(attn, dropout_p, training=training) @ value
