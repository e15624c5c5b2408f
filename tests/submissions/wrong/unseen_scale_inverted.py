# expect: scale-inverted
import torch


def attention(query, key, value, mask=None):
    scale = query.shape[-1] ** -0.5
    sims = (query @ key.mT) / scale
    if mask is not None:
        sims = sims + torch.zeros_like(sims).masked_fill(mask.logical_not(), -1e9)
    p = sims.softmax(dim=-1)
    result = p @ value
    return result, p
