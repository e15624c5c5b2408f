# expect: correct
import torch


def flash_attention(query, key, value, mask):
    scaled = query / query.shape[-1] ** 0.5
    highest, total, mixed = None, 0.0, 0.0
    for keys, values, keep in zip(key.split(16, -2), value.split(16, -2), mask.split(16, -1)):
        scores = (scaled @ keys.mT).masked_fill(~keep, torch.finfo(query.dtype).min)
        before, highest = highest, scores.amax(-1, keepdim=True)
        if before is not None:
            highest = torch.maximum(before, highest)
            mixed = mixed * torch.exp(before - highest)
            total = total * torch.exp(before - highest)
        part = torch.exp(scores - highest)
        total = total + part.sum(-1, keepdim=True)
        mixed = mixed + part @ values
    return mixed / total
