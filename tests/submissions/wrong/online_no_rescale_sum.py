# expect: online-no-rescale
import torch


def flash(q, k, v, mask=None):
    maximum = torch.full_like(q[..., :1], float("-inf"))
    normaliser = torch.zeros_like(maximum)
    accumulated = torch.zeros_like(q)
    for keys, values, first in zip(k.split(32, dim=2), v.split(32, dim=2), range(0, k.size(2), 32)):
        logits = torch.einsum("bhid,bhjd->bhij", q, keys) * q.size(-1) ** -0.5
        if mask is not None:
            logits = logits.masked_fill(~mask[..., first : first + 32], torch.finfo(q.dtype).min)
        raised = torch.maximum(maximum, logits.max(dim=-1, keepdim=True).values)
        weights = torch.exp(logits - raised)
        accumulated = accumulated * torch.exp(maximum - raised) + torch.einsum("bhij,bhjd->bhid", weights, values)
        normaliser += weights.sum(dim=-1, keepdim=True)
        maximum = raised
    return accumulated / normaliser
