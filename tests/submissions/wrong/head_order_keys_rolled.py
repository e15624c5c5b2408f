# expect: head-order
import torch


def attention(query, key, value, mask=None):
    heads = query.shape[1]
    outputs = []
    for i in range(heads):
        scores = query[:, i] @ key[:, i - 1].mT / query.shape[-1] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask[:, 0], float("-inf"))
        outputs.append(torch.softmax(scores, dim=-1) @ value[:, i])
    return torch.stack(outputs, dim=1)
