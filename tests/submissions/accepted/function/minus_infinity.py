"""A mask of 0 and -inf is not added: the scores are filled where it is -inf, and other numbers mask nothing."""
import torch


def attention(query, key, value, mask=None):
    scores = torch.matmul(query, key.transpose(-2, -1)) / query.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(mask == float("-inf"), float("-inf"))
    return torch.matmul(torch.softmax(scores, dim=-1), value)
