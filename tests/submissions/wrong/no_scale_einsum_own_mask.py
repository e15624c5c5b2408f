# expect: no-scale
import torch
import torch.nn.functional as F


def causal_attention(Q, K, V):
    n, m = Q.shape[-2], K.shape[-2]
    logits = torch.einsum("bhqd,bhkd->bhqk", Q, K)
    future = torch.ones(n, m, device=Q.device).triu(m - n + 1).bool()
    logits = logits.masked_fill(future, -1e9)
    A = F.softmax(logits, dim=-1)
    return torch.einsum("bhqk,bhkd->bhqd", A, V)
