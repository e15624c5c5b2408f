# expect: float-mask-promote
import math
import torch
import torch.nn.functional as F


def causal_attention(query, key, value):
    n, m = query.size(-2), key.size(-2)
    future = torch.triu(torch.full((n, m), -1e9), diagonal=m - n + 1)
    att = F.softmax(torch.einsum("bhqd,bhkd->bhqk", query, key) / math.sqrt(query.size(-1)) + future, dim=-1)
    return torch.einsum("bhqk,bhkd->bhqd", att, value)
