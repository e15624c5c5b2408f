# expect: correct
"""Leaves out the blocks of keys that are later than every query of a block, counted from the first key."""

import torch


def attention(query, key, value, mask):
    size, before = 4, key.size(2) - query.size(2)
    keep = mask.expand(*query.shape[:3], key.size(2))
    found = []
    for i in range(0, query.size(2), size):
        visible = min(before + i + size, key.size(2))
        scores = query[:, :, i : i + size] @ key[:, :, :visible].mT / query.size(-1) ** 0.5
        scores = scores.masked_fill(~keep[:, :, i : i + size, :visible], torch.finfo(scores.dtype).min)
        found.append(scores.softmax(-1) @ value[:, :, :visible])
    return torch.cat(found, dim=2)
