# expect: mask-of-zeros
import torch


def causal(q, k, v, padding=None):
    t, s = q.size(2), k.size(2)
    future = torch.triu(torch.zeros(t, s), diagonal=s - t + 1).bool()
    scores = (q @ k.mT) * q.size(3) ** -0.5
    return scores.masked_fill(future, -torch.inf).softmax(-1) @ v
