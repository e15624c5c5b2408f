# expect: correct
import torch


def attention(query, key, value, mask=None):
    rows = []
    for index in range(query.size(-2) - 1):
        rows.append(row(query, key, index, mask))
    rows.append(row(query, key, query.size(-2) - 1, mask))
    weights = torch.stack(rows, dim=-2)
    return weights @ value, weights


def row(query, key, index, mask):
    scores = (query[..., index, None, :] * key).sum(-1) * query.size(-1) ** -0.5
    if mask is not None:
        scores = scores.masked_fill(~mask[..., index, :], float("-inf"))
    return scores.softmax(dim=-1)
