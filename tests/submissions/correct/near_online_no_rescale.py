# expect: correct
import math

import torch

BLOCK = 5


def attention(query, key, value, mask=None):
    running = torch.full((*query.shape[:-1], 1), -1e30, dtype=query.dtype)
    total, output = torch.zeros_like(running), torch.zeros_like(query)
    for start in range(0, key.size(-2), BLOCK):
        block = slice(start, start + BLOCK)
        scores = query @ key[..., block, :].transpose(-2, -1) / math.sqrt(query.size(-1))
        if mask is not None:
            scores = scores.masked_fill(~mask[..., block], -1e30)
        new = torch.maximum(running, scores.amax(dim=-1, keepdim=True))
        correction, exps = torch.exp(running - new), torch.exp(scores - new)
        total = total * correction + exps.sum(dim=-1, keepdim=True)
        output = output * correction + exps @ value[..., block, :]
        running = new
    return output / total
