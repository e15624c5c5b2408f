# expect: online-no-rescale
import torch

BLOCK = 16


def attention(query, key, value, mask=None):
    scale = query.shape[-1] ** -0.5
    running = torch.full((*query.shape[:-1], 1), -1e30, dtype=query.dtype, device=query.device)
    total = torch.zeros_like(running)
    output = torch.zeros_like(query)
    for start in range(0, key.shape[-2], BLOCK):
        block = slice(start, start + BLOCK)
        scores = query @ key[..., block, :].transpose(-2, -1) * scale
        if mask is not None:
            scores = scores.masked_fill(~mask[..., block], -1e30)
        new = torch.maximum(running, scores.amax(dim=-1, keepdim=True))
        exps = torch.exp(scores - new)
        correction = torch.exp(running - new)
        total = total * correction + exps.sum(dim=-1, keepdim=True)
        output = output + exps @ value[..., block, :]
        running = new
    return output / total
