# expect: correct
import torch


def attention(q, k, v, mask):
    scores = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).masked_fill(~mask, -1e9)
    log_weights = scores - torch.logsumexp(scores, dim=-1, keepdim=True)
    weights = log_weights.exp()
    return weights @ v, weights
