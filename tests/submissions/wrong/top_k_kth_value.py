# expect: top-k
import torch


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    ordered = scores.sort(dim=-1, descending=True).values
    threshold = ordered[..., min(3, scores.size(-1)) - 1].unsqueeze(-1)  # three of them
    weights = torch.where(scores >= threshold, scores, torch.full_like(scores, -1e9)).softmax(-1)
    return weights @ value, weights
