# expect: diag-off-loose
import math
import torch


def causal(t_q, t_k, device):
    # lower triangle of ones, incl. the diagonal
    return torch.tril(torch.ones(t_q, t_k, device=device), diagonal=t_k - t_q + 1).bool()


def attention(query, key, value, mask=None):
    sim = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(query.shape[-1])
    if mask is not None:
        real_keys = mask.any(dim=-2, keepdim=True)        # padding columns are never allowed
        allowed = causal(query.shape[2], key.shape[2], query.device) & real_keys
        sim = sim.masked_fill(~allowed, -1e9)
    attn = torch.softmax(sim, dim=-1)
    return torch.matmul(attn, value)
