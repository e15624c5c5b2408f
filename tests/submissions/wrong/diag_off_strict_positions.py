# expect: diag-off-strict
import torch


def attention(query, key, value, mask=None):
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key) * query.shape[-1] ** -0.5
    pos = torch.arange(key.size(2), device=query.device)
    before = pos[None, :] < pos[key.size(2) - query.size(2):, None]
    keep = before if mask is None else before & mask
    scores = scores.masked_fill(~keep, torch.finfo(scores.dtype).min)
    return torch.softmax(scores, -1) @ value
