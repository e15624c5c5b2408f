# expect: correct
import torch


def attention(query, key, value, mask=None):
    pairs = query.unsqueeze(-2) * key.unsqueeze(-3)  # (..., query_len, key_len, head_dim)
    scores = pairs.sum(-1) / query.size(-1) ** 0.5
    if mask is not None:
        scores = torch.where(mask, scores, torch.finfo(scores.dtype).min)
    weights = torch.softmax(scores, -1)
    return torch.einsum("...qk,...kd->...qd", weights, value), weights
