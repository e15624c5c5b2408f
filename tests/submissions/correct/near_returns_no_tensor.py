# expect: correct
import torch


def heads(query, key, value, mask):
    for number in range(query.shape[1]):
        scores = query[:, number] @ key[:, number].mT / query.shape[-1] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask[:, 0], -torch.inf)
        yield scores.softmax(-1) @ value[:, number]


def attention(query, key, value, mask=None):
    return torch.stack([*heads(query, key, value, mask)], dim=1)
