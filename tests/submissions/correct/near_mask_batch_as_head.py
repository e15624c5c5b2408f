# expect: correct
import torch


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) * query.size(-1) ** -0.5
    if mask is not None:
        mask = mask.squeeze(1)
        scores = torch.where(mask[:, None], scores, torch.finfo(scores.dtype).min)
    weights = scores.softmax(dim=-1)
    return weights @ value, weights
