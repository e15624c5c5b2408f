"""Everything by keyword, annotated, and a NamedTuple comes back."""
from typing import NamedTuple, Optional

import torch
from torch import Tensor


class AttentionResult(NamedTuple):
    context: Tensor
    attention: Tensor


def attention(*, queries: Tensor, keys: Tensor, values: Tensor, mask: Optional[Tensor] = None) -> AttentionResult:
    similarity = torch.einsum("...qd,...kd->...qk", queries, keys).div(keys.size(-1) ** 0.5)
    if mask is not None:
        similarity.masked_fill_(mask.logical_not(), -torch.inf)
    attention = similarity.softmax(-1)
    return AttentionResult(torch.einsum("...qk,...kd->...qd", attention, values), attention)
