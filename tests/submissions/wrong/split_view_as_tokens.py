# expect: split-view
import math
import torch
import torch.nn.functional as F


def _heads(x, n_head):
    b, d = x.shape[0], x.shape[-1]
    return x.reshape(b, -1, n_head, d).transpose(1, 2)


def attention(query, key, value, mask=None):
    h = query.shape[1]
    query, key, value = _heads(query, h), _heads(key, h), _heads(value, h)
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = torch.where(mask, scores, torch.finfo(scores.dtype).min)
    return F.softmax(scores, dim=-1) @ value
