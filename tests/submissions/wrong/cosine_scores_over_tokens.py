# expect: cosine-scores
import torch
import torch.nn.functional as F


def attention(q, k, v, mask=None):
    q, k = F.normalize(q, dim=2), F.normalize(k, dim=2)
    scores = torch.einsum("bhid,bhjd->bhij", q, k) * q.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return torch.einsum("bhij,bhjd->bhid", scores.softmax(dim=-1), v)
