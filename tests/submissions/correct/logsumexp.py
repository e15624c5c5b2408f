# expect: correct
import torch


def attention(query, key, value, mask=None):
    logits = torch.einsum("...qd,...kd->...qk", query, key) / query.size(-1) ** 0.5
    if mask is not None:
        logits = logits.masked_fill(mask.logical_not(), torch.finfo(logits.dtype).min)
    log_w = logits - torch.logsumexp(logits, dim=-1, keepdim=True)
    w = log_w.exp()
    return torch.einsum("...qk,...kd->...qd", w, value), w
