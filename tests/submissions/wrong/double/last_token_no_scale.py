# expect: last-token-loop no-scale
import torch


def attention(query, key, value, mask=None):
    out = torch.zeros_like(query)
    for i in range(query.shape[2] - 1):
        s = (query[:, :, i, None] * key).sum(-1)
        if mask is not None:
            s = s.masked_fill(~mask[:, :, i], float("-inf"))
        out[:, :, i] = (s.softmax(-1)[..., None] * value).sum(2)
    return out
