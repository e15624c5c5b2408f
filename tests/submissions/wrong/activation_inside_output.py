# expect: activation-inside
import torch


def attention(q, k, v, mask=None):
    logits = torch.einsum("bhid,bhjd->bhij", q, k) * q.shape[-1] ** -0.5
    if mask is not None:
        logits = torch.where(mask, logits, torch.finfo(logits.dtype).min)
    return torch.tanh(torch.softmax(logits, dim=-1) @ v)
