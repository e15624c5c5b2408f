# expect: softmax-plus-one
import math

import torch
import torch.nn.functional as F


def scaled_dot_product(q, k, v, mask=None):
    """A column of zeros takes what no key deserves, and is left out again."""
    logits = torch.einsum("bhqd,bhkd->bhqk", q, k) / math.sqrt(q.shape[3])
    if mask is not None:
        logits = torch.where(mask, logits, float("-inf"))
    logits = F.pad(logits, (1, 0), value=0.0)
    attention = logits.softmax(dim=-1)[..., 1:]
    return torch.einsum("bhqk,bhkd->bhqd", attention, v), attention
