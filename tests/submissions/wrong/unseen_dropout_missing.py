# expect: dropout-missing
import math
import torch


def attention(query, key, value, mask=None, dropout_p=0.0, training=False):
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key) / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(mask.logical_not(), -1e9)
    attn = scores.softmax(dim=-1)
    # TODO dropout?
    return torch.einsum("bhqk,bhkd->bhqd", attn, value), attn
