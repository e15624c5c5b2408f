# expect: correct
import torch
import torch.nn.functional as F
from typing import Optional


def make_bias(keep: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    bias = torch.zeros_like(keep, dtype=like.dtype)
    bias[~keep] = torch.finfo(like.dtype).min / 2
    return bias


def attention(q, k, v, mask: Optional[torch.Tensor] = None, training: bool = False,
              dropout_p: float = 0.0):
    head_dim = k.shape[-1]
    k = k * head_dim ** -0.5
    att = torch.matmul(q, k.transpose(-1, -2)).to(torch.float32)
    if mask is not None:
        att += make_bias(mask, att)
    att = F.softmax(att, dim=-1).type_as(q)
    y = F.dropout(att, p=dropout_p, training=training) @ v
    return y, att
