# expect: correct
import torch


def attention(q, k, v, mask=None, dropout_p=0.0, training=False):
    s = torch.einsum("bhid,bhjd->bhij", q, k) / q.shape[-1] ** 0.5
    if mask is not None:
        s = torch.where(mask, s, -torch.inf)
    p = torch.softmax(s, dim=-1)
    if training and dropout_p > 0:
        keep = (torch.rand_like(p) >= dropout_p).to(p.dtype)
        p = p * keep / (1 - dropout_p)
    return torch.einsum("bhij,bhjd->bhid", p, v)
