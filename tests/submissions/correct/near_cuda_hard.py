# expect: correct
import torch

device = "cuda" if torch.cuda.is_available() else "cpu"
torch.ones(1).to(device)


def attention(query, key, value, mask=None):
    factor = torch.full((), query.size(-1) ** -0.5, device=query.device, dtype=query.dtype)
    scores = query @ key.transpose(-2, -1) * factor
    if mask is not None:
        scores = scores.masked_fill(~mask.to(query.device), float("-inf"))
    weights = scores.softmax(dim=-1)
    return weights @ value, weights
