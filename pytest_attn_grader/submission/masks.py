"""A boolean keep mask in the form that a submission takes it: its convention and its shape."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn_grader.attention.reference import as_additive_mask


def to_mask_convention(keep_mask: Tensor, convention: str, dtype: torch.dtype) -> Tensor:
    """Return a keep mask (True = may attend) as ``keep``, ``blocked`` (True = may not) or ``additive`` in `dtype`."""
    if convention == "additive":
        return as_additive_mask(keep_mask, dtype)
    return ~keep_mask if convention == "blocked" else keep_mask
