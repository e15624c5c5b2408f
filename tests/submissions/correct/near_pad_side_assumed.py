# expect: correct
import torch


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) * query.size(-1) ** -0.5
    if mask is not None:
        # Positions are counted over the real tokens, wherever the padding stands.
        real = mask.any(-2, keepdim=True)
        numbers = real.cumsum(-1)
        lengths = real.sum(-1, keepdim=True)
        scores = scores.masked_fill(~(mask & (numbers <= lengths)), -1e9)
    return torch.softmax(scores, dim=-1) @ value
