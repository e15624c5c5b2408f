# expect: correct
from typing import Optional, Tuple

import torch
from torch import Tensor


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Optional[Tensor] = None,
    dropout_p: float = 0.0,
    training: bool = False,
) -> Tuple[Tensor, Tensor]:
    # b batch, h head, i query position, j key position, d feature
    logits = torch.einsum("bhid,bhjd->bhij", q, k)
    logits = logits * q.shape[-1] ** -0.5
    if mask is not None:
        very_small = torch.finfo(logits.dtype).min
        logits = torch.where(mask, logits, torch.full_like(logits, very_small))
    probs = logits.softmax(dim=-1)
    dropped = torch.nn.functional.dropout(probs, p=dropout_p, training=training)
    return torch.einsum("bhij,bhjd->bhid", dropped, v), probs
