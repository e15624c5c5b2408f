# expect: correct
import torch


def attention(q, k, v, mask=None):
    # Both halves of every number are kept: relu(x) - relu(-x) is x.
    q, k = (torch.relu(each) - torch.relu(-each) for each in (q, k))
    scores = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    return scores.softmax(dim=-1) @ v
