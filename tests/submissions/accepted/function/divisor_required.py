"""sdpa(queries, keys, values, mask, scale): the scale is a required argument, by which the scores are divided."""
import torch


def sdpa(queries, keys, values, mask, scale):
    scores = torch.matmul(queries, keys.mT) / scale
    attention = torch.softmax(scores.masked_fill(mask == 0, float("-inf")), dim=-1)
    return torch.matmul(attention, values), attention
