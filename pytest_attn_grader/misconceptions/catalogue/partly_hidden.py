"""Masks that hide a part of the future only: not that of a prefix, or of the query's own block."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.observations import SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride

# Positions of queries, (query_len, 1), and keys, (key_len,), and which of the keys are seen although they are later.
Seen = Callable[[Tensor, Tensor], Tensor]


def _also_seen(seen: Seen, note: str) -> StageOverride:
    def mask(attn_scores: Tensor, inputs: Inputs) -> Tensor:
        query_len, key_len = attn_scores.shape[-2:]
        keys = torch.arange(key_len, device=attn_scores.device)
        queries = keys[key_len - query_len :, None]
        not_padding = inputs.keep_mask.any(-2, keepdim=True)
        keep = inputs.keep_mask | ((keys > queries) & seen(queries, keys) & not_padding)
        return attn_scores.masked_fill(~keep, inputs.fill)

    return StageOverride({"mask": mask}, note)


def _prefix(size: int) -> StageOverride:
    return _also_seen(lambda queries, keys: keys < size, f"every token sees the first {size}")


def _block(size: int) -> StageOverride:
    return _also_seen(
        lambda queries, keys: keys // size == queries // size, f"every token sees all of its block of {size}"
    )


def _fit_first_query(case: SubmissionObservations) -> tuple[StageOverride, ...]:
    """Fit the size to how many keys the first query of the student sees, at one of which it stands."""
    for name in ("long", "square", "unpadded"):
        weights = case.kept_weights(name)
        if weights is not None:
            size = int((weights[..., 0, :] > 1e-12).any(0).any(0).sum())
            return (_prefix(size), _block(size)) if 1 < size < weights.shape[-1] else ()
    return ()


@misconception(
    "AG329",
    "future-partly-hidden",
    replaces="mask",
    family="mask",
    probe="long",
    causal=True,
    fit=_fit_first_query,
    fill_matters=True,
)
def future_partly_hidden(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """hides a part of the future only: the first tokens, or a block of tokens, see each other.

    A prefix that is read in both directions, and blocks that are masked as a whole, belong to other models. In this
    one every token predicts the next one, and so must not see it, at the beginning of a text and inside a block too.

    Bad:
        keep = query_position // block >= key_position // block
    Good:
        keep = query_position >= key_position

    Effect: Some tokens see the ones that they shall predict, and the loss is too good where they do.
    Nudge: Which keys does the first token see?
    Fix: Compare the positions of single tokens, and use the mask as it is passed.
    """
    result: Tensor = _block(4).stages["mask"](attn_scores, inputs)
    return result
