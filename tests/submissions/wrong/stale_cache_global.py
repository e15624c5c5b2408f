# expect: stale-cache
import torch

PAST = []


def attention(query, key, value, mask=None):
    PAST.append((key, value))
    keys = torch.cat([k for k, _ in PAST], dim=-2)
    values = torch.cat([v for _, v in PAST], dim=-2)
    scores = query @ keys.transpose(-2, -1) / query.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(-1) @ values
