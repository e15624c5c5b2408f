# expect: pad-wrong-axis
import torch


def attention(q, k, v, mask=None):
    s = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
    if mask is not None:
        tq, tk = s.shape[-2:]
        real = mask.any(dim=-2)[:, 0]                        # (batch, keys)
        causal = torch.tril(torch.ones(tq, tk, dtype=torch.bool, device=s.device), diagonal=tk - tq)
        s = s.masked_fill(~(real[:, None, -tq:, None] & causal), -1e9)
    w = s.softmax(-1)
    return w @ v, w
