# expect: correct
import torch
import torch.nn.functional as F


def attention(query, key, value, mask=None):
    q, k = query.double(), key.double()
    cosines = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)
    lengths = q.norm(dim=-1)[..., :, None] * k.norm(dim=-1)[..., None, :]
    scores = cosines * lengths / q.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1).to(value)
    return weights @ value, weights
