"""Scores that are forced into a range, in the right place or in the wrong one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride, divide_by_root, fill_blocked, unchanged

_LIMITS = (50.0, 30.0, 20.0, 15.0, 10.0, 5.0, 3.0, 2.0, 1.0)


def _limited(limit: Callable[[Tensor, float], Tensor], bound: float, *, before: bool = False) -> StageOverride:
    def scale(attn_scores: Tensor, inputs: Inputs) -> Tensor:
        if before:
            return limit(attn_scores, bound) / inputs.root
        return limit(attn_scores / inputs.root, bound)

    return StageOverride({"scale": scale}, f"at {bound:.4g}" + (", before the scaling" if before else ""))


def _capped(attn_scores: Tensor, bound: float) -> Tensor:
    return bound * torch.tanh(attn_scores / bound)


def _clamped(attn_scores: Tensor, bound: float) -> Tensor:
    return attn_scores.clamp(-bound, bound)


def _upper_clamped(attn_scores: Tensor, bound: float) -> Tensor:
    return attn_scores.clamp(max=bound)


@misconception(
    "AG121",
    "soft-cap",
    replaces="scale",
    family="scale",
    probe="large-scores",
    variants=(
        *(_limited(_capped, bound) for bound in _LIMITS[1:]),
        *(_limited(_capped, bound, before=True) for bound in _LIMITS),
        StageOverride({"scale": lambda scores, _: torch.tanh(scores)}, "tanh instead of the scaling"),
    ),
)
def soft_cap(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """squashes the scores with tanh (a soft-cap).

    Some models limit their scores to a range with cap * tanh(scores / cap). Scaled dot-product attention does not: a
    large score stays large, and a model that was trained without the cap gives other weights with it.

    Bad:
        attn_scores = cap * torch.tanh(attn_scores / cap)
    Good:
        attn_scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))

    Effect: Sharp heads become blurred; small scores hardly change, which is why it is easily overlooked.
    Nudge: Which values can your scores take after the last step before the softmax?
    Fix: Remove tanh; the division by sqrt(head_dim) is all the scaling there is.
    """
    return _capped(attn_scores / inputs.root, _LIMITS[0])


def _capped_after_mask(bound: float, *, before_scaling: bool = False) -> StageOverride:
    def mask(attn_scores: Tensor, inputs: Inputs) -> Tensor:
        attn_scores = _capped(fill_blocked(attn_scores, inputs), bound)
        return attn_scores / inputs.root if before_scaling else attn_scores

    note = f"at {bound:.4g}" + (", before the scaling" if before_scaling else "")
    return StageOverride({"scale": unchanged if before_scaling else divide_by_root, "mask": mask}, note)


@misconception(
    "AG318",
    "cap-after-mask",
    replaces="mask",
    together_with={"scale": divide_by_root},
    family="mask",
    probe="large-scores",
    variants=(
        *(_capped_after_mask(bound) for bound in _LIMITS[1:]),
        *(_capped_after_mask(bound, before_scaling=True) for bound in _LIMITS),
    ),
)
def cap_after_mask(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """limits the scores with tanh after the mask, so that blocked keys come back.

    A blocked score is minus infinity, and cap * tanh(score / cap) makes -cap of it, a number like any other. Beside low
    scores a blocked key then gets weight, and with a small cap it does everywhere. Where a model has a soft-cap, the
    mask comes after it; the formula here has no cap at all.

    Bad:
        attn_scores = attn_scores.masked_fill(~mask, float("-inf"))
        attn_scores = cap * torch.tanh(attn_scores / cap)
    Good:
        attn_scores = attn_scores.masked_fill(~mask, float("-inf"))

    Effect: Tokens see the future and the padding, the more the lower their scores and the smaller the cap.
    Nudge: Which value does a blocked score have just before the softmax?
    Fix: Let nothing but the softmax follow the mask, and leave the cap out, which this formula does not have.
    """
    result: Tensor = _capped_after_mask(_LIMITS[0]).stages["mask"](attn_scores, inputs)
    return result


@misconception(
    "AG122",
    "clamped-scores",
    replaces="scale",
    family="scale",
    probe="large-scores",
    variants=(
        *(_limited(_clamped, bound) for bound in (*_LIMITS[1:], 100.0, 88.0, 80.0)),
        *(_limited(_clamped, bound, before=True) for bound in (*_LIMITS, 100.0)),
        *(_limited(_upper_clamped, bound) for bound in (*_LIMITS, 100.0, 88.0, 80.0)),
    ),
)
def clamped_scores(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """clamps the scores to a range.

    clamp keeps exp from overflowing, but all scores beyond the bound become equal, and so do their weights. Subtracting
    the row's maximum prevents the overflow without changing the result, and torch.softmax does that by itself.

    Bad:
        attn_scores = attn_scores.clamp(-50, 50)
    Good:
        attn_weights = torch.softmax(attn_scores, dim=-1)

    Effect: Right on small scores; keys that should differ share the weight where scores are large.
    Nudge: What happens to two scores of 60 and 90?
    Fix: Remove the clamp, and use torch.softmax or subtract the row's maximum.
    """
    return _clamped(attn_scores / inputs.root, _LIMITS[0])
