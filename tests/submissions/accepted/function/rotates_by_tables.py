"""attention(xq, xk, xv, cos, sin, mask): the function rotates query and key itself, by tables that it takes."""

import torch


def rotate_half(states):
    first, second = states.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)


def attention(xq, xk, xv, cos, sin, mask=None):
    xq, xk = (states * cos + rotate_half(states) * sin for states in (xq, xk))
    scores = xq @ xk.transpose(-2, -1) / xq.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = scores.softmax(dim=-1)
    return weights @ xv, weights
