# expect: batch-heads-mixed
import torch


def attention(query, key, value, mask=None):
    batch, heads, length, size = query.shape
    q, k, v = (t.transpose(0, 1).reshape(batch * heads, -1, size) for t in (query, key, value))
    logits = q.bmm(k.mT) / size**0.5
    if mask is not None:
        logits = logits.masked_fill(~mask.expand(-1, heads, -1, -1).flatten(0, 1), float("-inf"))
    return logits.softmax(-1).bmm(v).view(batch, heads, length, size)
