# expect: rotary-positions
import torch


def rotate(x, start):
    d = x.size(-1)
    frequencies = 10000.0 ** (-torch.arange(0, d, 2).double() / d)
    angles = torch.outer(torch.arange(start, start + x.size(-2)).double(), frequencies)
    turned = torch.view_as_complex(x.double().reshape(*x.shape[:-1], -1, 2)) * torch.polar(torch.ones_like(angles), angles)
    return torch.view_as_real(turned).flatten(-2).to(x.dtype)


def attention(query, key, value, mask=None):
    query, key = rotate(query, key.size(-2) - query.size(-2)), rotate(key, 0)
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return torch.softmax(scores, dim=-1) @ value
