# expect: correct
import math
import torch


def attention(query, key, value, mask=None):
    """Flash-attention style: goes over the keys in blocks and keeps a running max and sum."""
    BLOCK = 4
    B, H, Tq, D = query.shape
    Tk = key.shape[2]
    q = query.float() / math.sqrt(D)
    m = torch.full((B, H, Tq, 1), -1e30, device=query.device)
    l = torch.zeros(B, H, Tq, 1, device=query.device)
    acc = torch.zeros(B, H, Tq, value.shape[-1], device=query.device)
    if mask is not None:
        mask = mask.expand(B, mask.shape[1] if mask.dim() == 4 else 1, Tq, Tk)

    for start in range(0, Tk, BLOCK):
        stop = min(start + BLOCK, Tk)
        k_blk = key[:, :, start:stop].float()
        v_blk = value[:, :, start:stop].float()
        s = q @ k_blk.transpose(-1, -2)
        if mask is not None:
            s = s.masked_fill(~mask[..., start:stop], -1e30)
        m_new = torch.maximum(m, s.max(dim=-1, keepdim=True).values)
        correction = torch.exp(m - m_new)
        p = torch.exp(s - m_new)
        l = l * correction + p.sum(-1, keepdim=True)
        acc = acc * correction + p @ v_blk
        m = m_new

    return (acc / l).to(query.dtype)
