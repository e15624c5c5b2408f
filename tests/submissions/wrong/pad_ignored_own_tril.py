# expect: pad-ignored
import torch


def attention(query, key, value, padding_mask=None):
    q_len, k_len = query.size(-2), key.size(-2)
    hidden = torch.ones(q_len, k_len, dtype=torch.bool).triu(1 + k_len - q_len)
    scores = torch.matmul(query, key.transpose(-2, -1)) / query.size(-1) ** 0.5
    weights = scores.masked_fill(hidden, float("-inf")).softmax(dim=-1)
    return torch.matmul(weights, value), weights
