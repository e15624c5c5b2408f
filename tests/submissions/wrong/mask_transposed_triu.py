# expect: mask-transposed
import torch


def causal_attention(query, key, value):
    n = key.size(-2)
    keep = torch.triu(torch.ones(n, n, device=query.device))[n - query.size(-2):]
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key) / query.size(-1) ** 0.5
    scores = scores.masked_fill(keep == 0, float("-inf"))
    return torch.softmax(scores, dim=-1) @ value
