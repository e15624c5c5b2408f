# expect: diag-off-loose no-scale
import torch


def attention(q, k, v):
    t, s = q.size(-2), k.size(-2)
    blocked = torch.ones(t, s, device=q.device).triu(s - t + 2).bool()
    a = torch.einsum("bhtd,bhsd->bhts", q, k).masked_fill(blocked, float("-inf")).softmax(-1)
    return torch.einsum("bhts,bhsd->bhtd", a, v)
