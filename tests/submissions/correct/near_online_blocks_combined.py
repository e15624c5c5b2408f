# expect: correct
"""Divides in each block, and multiplies the output with the old sum again before the next one."""

import torch


def attention(query, key, value, mask):
    output = torch.zeros_like(query)
    total = torch.zeros_like(query[..., :1])
    maximum = torch.full_like(total, float("-inf"))
    for start in range(0, key.shape[-2], 4):
        scores = query @ key[..., start : start + 4, :].mT / query.shape[-1] ** 0.5
        scores = scores.masked_fill(~mask[..., start : start + 4], torch.finfo(scores.dtype).min)
        larger = torch.maximum(maximum, scores.amax(-1, keepdim=True))
        correction, exps = torch.exp(maximum - larger), torch.exp(scores - larger)
        grown = total * correction + exps.sum(-1, keepdim=True)
        output = (output * total * correction + exps @ value[..., start : start + 4, :]) / grown
        maximum, total = larger, grown
    return output
