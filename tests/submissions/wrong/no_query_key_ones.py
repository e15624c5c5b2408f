# expect: no-query-key
import torch


def attention(query, key, value, mask=None):
    wei = torch.ones(*query.shape[:-1], key.shape[-2], dtype=query.dtype)
    if mask is not None:
        wei = wei * mask
    wei = wei / wei.sum(-1, keepdim=True).clamp(min=1e-9)
    return wei @ value
