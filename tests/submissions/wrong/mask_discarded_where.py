# expect: mask-discarded
import torch


def attention(q, k, v, mask=None):
    s = torch.einsum("bhqd,bhkd->bhqk", q, k) / q.shape[-1] ** 0.5
    if mask is not None:
        masked = torch.where(mask, s, torch.finfo(s.dtype).min)
    w = s.softmax(dim=-1)
    return torch.einsum("bhqk,bhkd->bhqd", w, v)
