# expect: online-no-rescale
import math

import torch


def attention_in_tiles(query, key, value, mask=None, tile=8):
    batch, heads, length, dim = query.shape
    out = query.new_zeros(batch, heads, length, dim)
    m = query.new_full((batch, heads, length, 1), -1e30)
    l = query.new_zeros(batch, heads, length, 1)
    for begin in range(0, key.shape[2], tile):
        end = min(begin + tile, key.shape[2])
        s = query @ key[:, :, begin:end].mT / math.sqrt(dim)
        if mask is not None:
            s = torch.where(mask[..., begin:end], s, -1e30)
        m_new = torch.maximum(m, s.amax(-1, keepdim=True))
        p = torch.softmax(s, dim=-1)
        alpha = torch.exp(m - m_new)
        out, l, m = out * alpha + p @ value[:, :, begin:end], l * alpha + p.sum(-1, keepdim=True), m_new
    return out / l
