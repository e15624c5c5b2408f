# expect: last-block-lost
import math

import torch

BLOCK = 4


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e30)
    blocks = [scores[..., i * BLOCK : (i + 1) * BLOCK] for i in range(scores.size(-1) // BLOCK)]
    if not blocks:
        return torch.zeros_like(query)
    top = torch.stack([block.amax(dim=-1, keepdim=True) for block in blocks]).amax(dim=0)
    total = sum(torch.exp(block - top).sum(dim=-1, keepdim=True) for block in blocks)
    output = 0
    for i, block in enumerate(blocks):
        output = output + torch.exp(block - top) / total @ value[..., i * BLOCK : (i + 1) * BLOCK, :]
    return output
