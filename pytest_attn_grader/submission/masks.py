"""A boolean keep mask in the form that a submission takes it: its convention and its shape."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn_grader.attention.reference import as_additive_mask

MASK_SHAPES = ("(batch, 1, query, key)", "(batch, query, key)", "(batch, key)", "(query, key)", "(query, key, batch)")
PER_HEAD, PER_EXAMPLE, PADDING, SQUARE, BATCH_LAST = MASK_SHAPES


# For a trial: an additive mask that also holds small numbers. What adds its mask to the scores adds these as well.
BIASED = "biased"
# An additive mask of 0 and -inf, for what asks which of its numbers are -inf.
INFINITE = "infinite"


def bias_of_keys(key_len: int) -> Tensor:
    """Small numbers, one for each key."""
    return (torch.arange(key_len) % 3 - 1) * 0.5


def to_mask_convention(keep_mask: Tensor, convention: str, dtype: torch.dtype, *, is_numeric: bool = False) -> Tensor:
    """Return a keep mask (True = may attend) as it is, as ``blocked`` (True = may not), or as numbers in `dtype`.

    An ``additive`` one holds 0 and very negative numbers, an ``infinite`` one 0 and -inf.

    Args:
        is_numeric: keep and blocked masks hold 1 and 0 in `dtype` instead of True and False.
    """
    if convention == "additive":
        return as_additive_mask(keep_mask, dtype)
    if convention == INFINITE:
        return torch.zeros(keep_mask.shape, dtype=dtype, device=keep_mask.device).masked_fill(~keep_mask, -torch.inf)
    if convention == BIASED:
        return (as_additive_mask(keep_mask, dtype) + bias_of_keys(keep_mask.shape[-1]).to(keep_mask.device)).to(dtype)
    mask = ~keep_mask if convention == "blocked" else keep_mask
    return mask.to(dtype) if is_numeric else mask


def to_mask_shape(keep_mask: Tensor, shape: str) -> Tensor:
    """Return a keep mask ``(batch, 1, query, key)`` in one of `MASK_SHAPES`; a padding mask keeps the real keys."""
    if shape == PER_HEAD:
        return keep_mask
    if shape == PER_EXAMPLE:
        return keep_mask[:, 0]
    if shape == PADDING:
        return keep_mask.any(dim=-2)[:, 0]
    return keep_mask[0, 0] if shape == SQUARE else keep_mask[:, 0].permute(1, 2, 0)


def as_lengths(keep_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return a keep mask ``(…, key)`` as an order of the keys and how many of the first ones are kept.

    Attention does not depend on the order of its keys. So with the kept keys first, any mask of one query is a length.

    Returns:
        order ``(…, key)``, indices of the keys with the kept ones first, and lengths ``(…)``, at least 1.
    """
    order = (~keep_mask).to(torch.uint8).argsort(dim=-1, stable=True)
    return order, keep_mask.sum(dim=-1).clamp(min=1)
