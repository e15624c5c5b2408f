# expect: correct
import torch

try:
    from flash_attn import flash_attn_func
except ImportError:
    flash_attn_func = None


def attention(query, key, value, mask=None):
    if flash_attn_func is not None and query.is_cuda and mask is None:
        return flash_attn_func(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)).transpose(1, 2)
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    if mask is not None:
        scores = torch.where(mask, scores, torch.finfo(scores.dtype).min)
    weights = scores.softmax(dim=-1)
    return weights @ value, weights
