# expect: mask-multiplied
import torch
import torch.nn.functional as F


def causal_attention(query, key, value):
    t, s = query.size(-2), key.size(-2)
    tril = torch.tril(torch.ones(t, s, dtype=query.dtype, device=query.device), diagonal=s - t)
    scores = torch.einsum("bhtd,bhsd->bhts", query, key) / query.size(-1) ** 0.5
    return F.softmax(scores * tril, dim=-1) @ value
