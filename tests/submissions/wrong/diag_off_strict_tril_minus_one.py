# expect: diag-off-strict
import torch


def attention(query, key, value, mask=None):
    q_len, k_len = query.size(-2), key.size(-2)
    earlier = torch.ones(q_len, k_len, dtype=torch.bool).tril(diagonal=k_len - q_len - 1)
    keep = earlier if mask is None else earlier & mask
    scores = (query @ key.transpose(-2, -1) / query.size(-1) ** 0.5).masked_fill(~keep, -1e9)
    weights = scores.softmax(dim=-1)
    return weights @ value, weights
