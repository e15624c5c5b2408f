# expect: diag-off-strict
import math
import torch


def attention(query, key, value, mask=None):
    t_q, t_k = query.size(2), key.size(2)
    att = (query @ key.transpose(-2, -1)) / math.sqrt(query.size(-1))
    if mask is not None:
        # causal: hide everything from the diagonal on, plus whatever the caller hides
        future = torch.ones(t_q, t_k, dtype=torch.bool, device=query.device)
        future = torch.triu(future, diagonal=t_k - t_q)
        att = att.masked_fill(future | ~mask, float("-inf"))
    att = att.softmax(dim=-1)
    return att @ value, att
