# expect: multi-query
import torch


def attention(query, key, value, mask=None):
    scores = torch.einsum("bhid,bgjd->bhij", query, key) / query.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(-1) @ value
