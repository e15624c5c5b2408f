# expect: kv-swapped
import torch


def _attend(q, v, k, keep):
    logits = torch.einsum("bhqd,bhkd->bhqk", q, k) * q.shape[-1] ** -0.5
    if keep is not None:
        logits = logits.masked_fill(~keep, -1e9)
    return torch.einsum("bhqk,bhkd->bhqd", logits.softmax(-1), v)


def attention(q, k, v, mask=None):
    return _attend(q, k, v, mask)
