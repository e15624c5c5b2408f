# expect: correct
import torch


def attention(query, key, value, mask=None):
    """Rows without any key become zeros instead of NaN."""
    if query.shape[-1] != key.shape[-1]:
        raise ValueError("query and key must have the same head dimension")
    scores = query @ key.transpose(-2, -1)
    scores = scores * (1 / query.shape[-1]) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.nan_to_num(scores.softmax(dim=-1), nan=0.0)
    print("attention", tuple(weights.shape))
    return weights @ value, weights
