# expect: mask-inverted
import torch


def attention(query, key, value, mask=None):
    scores = torch.einsum("bhid,bhjd->bhij", query, key) * query.shape[-1] ** -0.5
    if mask is not None:
        scores = torch.where(mask == 1, torch.finfo(scores.dtype).min, scores)
    return torch.softmax(scores, dim=-1) @ value
