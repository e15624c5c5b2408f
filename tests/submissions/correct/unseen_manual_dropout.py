# expect: correct
import math
import torch


def drop(x, p, training):
    if not training or p == 0:
        return x
    keep = (torch.rand_like(x) >= p).to(x.dtype)
    return x * keep / (1 - p)


def attention(queries, keys, values, mask=None, dropout_p=0.0, training=False):
    # make everything contiguous, I got view errors without it
    queries = queries.contiguous()
    keys = keys.contiguous()
    values = values.contiguous()

    keys_t = keys.permute(0, 1, 3, 2)
    logits = queries @ keys_t
    logits = logits.div(math.sqrt(queries.size(3)))

    if mask is not None:
        blocked = torch.logical_not(mask)
        logits.masked_fill_(blocked, float("-inf"))

    weights = torch.softmax(logits, dim=3)
    weights = torch.nan_to_num(weights, nan=0.0)     # rows where everything is blocked
    return drop(weights, dropout_p, training) @ values
