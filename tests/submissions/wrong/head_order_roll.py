# expect: head-order
import torch


def attention(query, key, value, mask=None):
    """query, key, value: (batch, heads, seq, head_dim)"""
    outputs = []
    for i in range(query.size(1) - 1, -1, -1):
        scores = query[:, i] @ key[:, i].transpose(-2, -1) / query.size(-1) ** 0.5
        if mask is not None:
            scores = scores.masked_fill(~mask[:, 0], float("-inf"))
        outputs.append(scores.softmax(-1) @ value[:, i])
    return torch.stack(outputs, dim=1)
