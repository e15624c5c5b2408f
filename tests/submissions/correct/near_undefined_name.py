# expect: correct
import torch


def attention(query, key, value, mask=None):
    weights = softmax_over_keys(hide(query @ key.transpose(-2, -1) * factor(query), mask))
    return weights @ value, weights


def factor(query):
    return query.size(-1) ** -0.5


def hide(scores, mask):
    return scores if mask is None else scores.masked_fill(~mask, torch.finfo(scores.dtype).min)


def softmax_over_keys(scores):
    return scores.softmax(dim=-1)
