# expect: stale-cache
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None, past=[]):
    past.append((key, value))
    key = torch.cat([k for k, _ in past], dim=2)
    value = torch.cat([v for _, v in past], dim=2)
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key) / query.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    return F.softmax(scores, dim=-1) @ value
