# expect: mask-inverted
import math
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None, dropout_p=0.0, training=False):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        # masked positions get a very low score
        scores = scores.masked_fill(mask, -1e9)
    w = F.softmax(scores, dim=-1)
    w_drop = F.dropout(w, dropout_p, training=training)
    return w_drop @ value, w
