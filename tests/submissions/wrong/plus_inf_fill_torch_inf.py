# expect: plus-inf-fill
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key) * query.shape[-1] ** -0.5
    if mask is not None:
        scores = torch.where(mask, scores, torch.inf)
    return F.softmax(scores, dim=-1) @ value
