# expect: correct
import torch


def attention(q, k, v, mask=None):
    scores = (q.unsqueeze(-2) * k.unsqueeze(-3)).sum(-1)
    scores = scores / torch.sqrt(torch.tensor(q.shape[-1], dtype=q.dtype, device=q.device))
    if mask is not None:
        scores = scores + torch.zeros_like(scores).masked_fill(~mask, float("-inf"))
    e = torch.exp(scores - scores.max(-1, keepdim=True)[0])
    w = e / e.sum(-1, keepdim=True)
    return (w.unsqueeze(-1) * v.unsqueeze(-3)).sum(-2), w
