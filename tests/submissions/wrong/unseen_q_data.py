# expect: q-data
import math
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None, dropout_p=0.0, training=False):
    # work on a copy so the caller's query is safe
    q = query.data.clone()
    q = q / math.sqrt(q.shape[-1])
    scores = q @ key.transpose(-1, -2)
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    scores = F.softmax(scores, dim=-1)
    out = F.dropout(scores, p=dropout_p, training=training) @ value
    return out, scores
