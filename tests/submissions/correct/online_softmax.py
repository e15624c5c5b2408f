# expect: correct
"""Flash-attention style: one block of keys at a time, running maximum and running sum."""
import torch

BLOCK = 4


def attention(query, key, value, mask=None):
    q = query * query.shape[-1] ** -0.5
    rows = q.shape[:-1]
    running_max = torch.full(rows + (1,), torch.finfo(q.dtype).min, dtype=q.dtype, device=q.device)
    running_sum = torch.zeros(rows + (1,), dtype=q.dtype, device=q.device)
    acc = torch.zeros_like(query)
    for start in range(0, key.shape[-2], BLOCK):
        kb, vb = key[..., start:start + BLOCK, :], value[..., start:start + BLOCK, :]
        s = q @ kb.transpose(-1, -2)
        if mask is not None:
            s = s.masked_fill(~mask[..., start:start + BLOCK], torch.finfo(q.dtype).min)
        new_max = torch.maximum(running_max, s.amax(-1, keepdim=True))
        p = torch.exp(s - new_max)
        correction = torch.exp(running_max - new_max)
        running_sum = running_sum * correction + p.sum(-1, keepdim=True)
        acc = acc * correction + p @ vb
        running_max = new_max
    return acc / running_sum
