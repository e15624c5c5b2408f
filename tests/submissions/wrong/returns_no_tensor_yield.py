# expect: returns-no-tensor
import torch


def attention(query, key, value, mask=None):
    for head in range(query.shape[1]):
        scores = query[:, head] @ key[:, head].mT / query.shape[-1] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask[:, 0], -torch.inf)
        yield scores.softmax(-1) @ value[:, head]
