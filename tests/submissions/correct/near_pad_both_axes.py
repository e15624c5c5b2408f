# expect: correct
import torch


def attention(query, key, value, mask):
    real = mask.any(dim=-2, keepdim=True)
    if query.shape[-2] == key.shape[-2]:
        mask = torch.logical_and(mask, real.transpose(-2, -1))
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key) * query.shape[-1] ** -0.5
    weights = torch.where(mask, scores, torch.finfo(scores.dtype).min).softmax(dim=-1)
    return torch.einsum("bhqk,bhkd->bhqd", weights, value), weights
