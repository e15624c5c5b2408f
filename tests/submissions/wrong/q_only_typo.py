# expect: q-only
import torch


def attention(query, key, value, mask=None):
    scores = torch.einsum("bhid,bhjd->bhij", query, query)[..., : key.size(-2)] * query.size(-1) ** -0.5
    if mask is not None and scores.shape[-1] == mask.shape[-1]:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights
