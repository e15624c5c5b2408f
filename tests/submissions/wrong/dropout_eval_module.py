# expect: dropout-eval
import math
import torch
from torch import nn

drop = nn.Dropout(0.2)


def attention(query, key, value, mask=None):
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -1e9)
    p_attn = torch.softmax(scores, dim=-1)
    return torch.matmul(drop(p_attn), value), p_attn
