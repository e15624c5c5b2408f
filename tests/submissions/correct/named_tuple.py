# expect: correct
from typing import NamedTuple, Optional

import torch
from torch import Tensor


class AttentionResult(NamedTuple):
    output: Tensor
    weights: Tensor


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Optional[Tensor] = None) -> AttentionResult:
    scores = torch.baddbmm(
        torch.zeros(1, 1, 1, dtype=query.dtype, device=query.device),
        query.flatten(0, 1),
        key.flatten(0, 1).transpose(1, 2),
        beta=0,
        alpha=query.size(-1) ** -0.5,
    ).view(*query.shape[:3], key.size(2))
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = scores.softmax(dim=-1)
    return AttentionResult(weights @ value, weights)
