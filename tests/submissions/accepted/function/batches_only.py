"""(batch, seq, head_dim) and torch.bmm, which takes nothing else; the mask says what is blocked."""
import torch
from torch import bmm

ATTN_MASK = "blocked"


def scaled_dot_product(query, key, value, blocked=None, *, scale=True):
    temp = query.bmm(key.transpose(1, 2))
    if scale:
        temp = temp / query.size(-1) ** 0.5
    if blocked is not None:
        temp = temp.masked_fill(blocked, torch.finfo(temp.dtype).min)
    return bmm(temp.softmax(dim=-1), value)
