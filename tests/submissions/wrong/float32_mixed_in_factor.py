# expect: float32-mixed-in
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    scaling = torch.full((1,), query.shape[-1] ** -0.5)
    query = query * scaling
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key.to(query.dtype))
    if mask is not None:
        scores = torch.where(mask, scores, torch.finfo(scores.dtype).min)
    return F.softmax(scores, dim=-1) @ value
