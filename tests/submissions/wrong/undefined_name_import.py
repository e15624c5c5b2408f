# expect: undefined-name
import torch


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
    if mask is not None:
        scores = torch.where(mask, scores, -torch.inf)
    return F.softmax(scores, dim=-1) @ value
