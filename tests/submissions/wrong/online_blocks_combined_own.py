# expect: online-blocks-combined
import torch

TILE = 16


def flash(q, k, v, keep):
    best, norm, mixed = None, 0.0, 0.0
    for keys, values, seen in zip(k.split(TILE, dim=2), v.split(TILE, dim=2), keep.split(TILE, dim=-1)):
        tile = (q @ keys.transpose(2, 3) * q.size(3) ** -0.5).masked_fill(~seen, -1e30)
        highest = tile.max(dim=-1, keepdim=True).values
        p = (tile - highest).exp()  # below the tile's own maximum
        after = highest if best is None else torch.maximum(best, highest)
        factor = 1.0 if best is None else (best - after).exp()
        norm = norm * factor + p.sum(dim=-1, keepdim=True)
        mixed = mixed * factor + p @ values
        best = after
    return mixed / norm
