# expect: kT-view
import torch


def attention(query, key, value, mask=None):
    key_t = key.reshape(*key.shape[:-2], key.shape[-1], key.shape[-2])
    scores = torch.matmul(query, key_t) / query.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    return torch.matmul(weights, value), weights
