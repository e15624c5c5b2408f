# expect: last-token-loop
import torch


def attention(q, k, v, mask=None):
    T = q.shape[-2]
    out = torch.zeros_like(q)
    weights = torch.zeros(*q.shape[:-1], k.shape[-2], dtype=q.dtype, device=q.device)
    for i in range(T - 1):
        s = (q[..., i:i + 1, :] @ k.transpose(-2, -1)).squeeze(-2) / q.size(-1) ** 0.5
        if mask is not None:
            s = s.masked_fill(~mask[..., i, :], float("-inf"))
        w = s.softmax(-1)
        weights[..., i, :] = w
        out[..., i, :] = (w.unsqueeze(-2) @ v).squeeze(-2)
    return out, weights
