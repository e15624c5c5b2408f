# expect: correct
import math

import torch

BLOCK = 4


def attention(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e30)
    top, total, output = scores.amax(-1, keepdim=True), 0, 0
    for i in range(math.ceil(scores.size(-1) / BLOCK)):  # the last block may be a short one
        some = slice(i * BLOCK, (i + 1) * BLOCK)
        exps = torch.exp(scores[..., some] - top)
        total, output = total + exps.sum(-1, keepdim=True), output + exps @ value[..., some, :]
    return output / total
