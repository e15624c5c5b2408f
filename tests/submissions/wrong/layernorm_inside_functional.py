# expect: layernorm-inside
import torch
from torch.nn.functional import layer_norm, softmax


def attention(q, k, v, mask=None):
    s = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    if mask is not None:
        s = s.masked_fill(~mask, torch.finfo(s.dtype).min)
    context = softmax(s, dim=-1) @ v
    return layer_norm(context, context.shape[-1:])
