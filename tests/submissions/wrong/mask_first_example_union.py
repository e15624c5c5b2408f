# expect: mask-first-example
import torch


def attention(query, key, value, mask):
    scores = torch.einsum("bhqd,bhkd->bhqk", query, key).div(query.shape[-1] ** 0.5)
    for_all = mask.amax(dim=0)
    return scores.masked_fill(for_all.logical_not(), -1e9).softmax(dim=-1) @ value
