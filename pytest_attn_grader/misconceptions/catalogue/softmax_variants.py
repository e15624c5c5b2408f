"""Softmax written or applied in another way: twice, as its logarithm, around another maximum, in blocks."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride, exponentials, unchanged


def _masked_in_between(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    return attn_scores.softmax(-1).masked_fill(~inputs.keep_mask, inputs.fill).softmax(-1)


@misconception(
    "AG211",
    "double-softmax",
    replaces="normalise",
    family="softmax",
    variants=(
        StageOverride({"normalise": _masked_in_between}, "masked in between"),
        StageOverride({"mask": unchanged, "normalise": _masked_in_between}, "masked in between only"),
    ),
)
def double_softmax(attn_scores: Tensor, _: Inputs) -> Tensor:
    """applies softmax twice.

    The first softmax gives weights between 0 and 1. A second softmax takes these for scores, and scores that differ by
    less than 1 give nearly even weights. A blocked key, whose weight was 0, gets exp(0) = 1 share.

    Bad:
        attn_weights = attn_scores.softmax(-1).softmax(-1)
    Good:
        attn_weights = attn_scores.softmax(-1)

    Effect: Every row is nearly even, and the future leaks in.
    Nudge: Count the softmax calls between the scores and the product with value, in helpers too.
    Fix: Remove the second softmax.
    """
    return attn_scores.softmax(-1).softmax(-1)


def _filled_with_minus_1e9(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    return attn_scores.masked_fill(~inputs.keep_mask, -1e9)


@misconception(
    "AG212",
    "log-softmax",
    replaces="normalise",
    family="softmax",
    fill_matters=True,
    variants=(
        StageOverride(
            {"mask": _filled_with_minus_1e9, "normalise": lambda scores, _: scores.log_softmax(-1)}, "a fill of -1e9"
        ),
    ),
)
def log_softmax(attn_scores: Tensor, _: Inputs) -> Tensor:
    """uses log_softmax, whose result is the logarithm of the weights.

    log_softmax is meant for loss functions. Its numbers are negative, and -inf for blocked keys; weights have to be
    positive and sum to 1.

    Bad:
        attn_weights = F.log_softmax(attn_scores, dim=-1)
    Good:
        attn_weights = F.softmax(attn_scores, dim=-1)

    Effect: Negative weights, and NaN where a key is blocked.
    Nudge: Print one row of your weights. What does it sum to?
    Fix: Use F.softmax(attn_scores, dim=-1).
    """
    return attn_scores.log_softmax(-1)


def _exp_below(attn_scores: Tensor, maximum: Tensor) -> Tensor:
    exponentials = (attn_scores - maximum).exp()
    return exponentials / exponentials.sum(-1, keepdim=True)


def _below_maximum_over(*axes: int) -> StageOverride:
    def normalise(attn_scores: Tensor, _: Inputs) -> Tensor:
        return _exp_below(attn_scores, attn_scores.amax(axes, keepdim=True))

    names = {(-2,): "over the queries", (1,): "over the heads", (0,): "over the examples", (-2, -1): "of the matrix"}
    return StageOverride({"normalise": normalise}, f"the maximum {names[axes]}")


def _below_maximum_without_mask(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    return _exp_below(attn_scores.masked_fill(~inputs.keep_mask, inputs.fill), attn_scores.max())


@misconception(
    "AG213",
    "max-wrong-axis",
    replaces="normalise",
    family="softmax",
    probe="large-scores",
    variants=(
        *(_below_maximum_over(*axes) for axes in ((-2,), (1,), (0,), (-2, -1))),
        StageOverride({"mask": unchanged, "normalise": _below_maximum_without_mask}, "the maximum before the mask"),
    ),
)
def max_wrong_axis(attn_scores: Tensor, _: Inputs) -> Tensor:
    """subtracts a maximum that is not the row's: over the wrong axis, or of the whole tensor.

    Softmax may subtract any number from a row, if it is one number for the whole row. The row's own maximum makes the
    largest exponential exp(0) = 1. The maximum of the whole tensor leaves rows whose scores are all much lower with
    exp(-1000) = 0 everywhere, and 0 / 0 is NaN; a maximum over the queries takes another number from every key.

    Bad:
        exponentials = torch.exp(attn_scores - attn_scores.max())
    Good:
        exponentials = torch.exp(attn_scores - attn_scores.amax(dim=-1, keepdim=True))

    Effect: Wrong weights, or NaN in the rows whose scores are far below the maximum.
    Nudge: How many maxima do you subtract, and from which scores is each of them?
    Fix: Subtract attn_scores.amax(dim=-1, keepdim=True), or use torch.softmax.
    """
    return _exp_below(attn_scores, attn_scores.max())


def _max_without_keepdim(attn_scores: Tensor, _: Inputs) -> Tensor:
    return _exp_below(attn_scores, attn_scores.amax(-1)[..., None, :])


def _both_without_keepdim(attn_scores: Tensor, _: Inputs) -> Tensor:
    exponentials = (attn_scores - attn_scores.amax(-1)[..., None, :]).exp()
    return exponentials / exponentials.sum(-1)[..., None, :]


@misconception(
    "AG214",
    "missing-keepdim",
    replaces="normalise",
    family="softmax",
    variants=(
        StageOverride({"normalise": _max_without_keepdim}, "the maximum"),
        StageOverride({"normalise": _both_without_keepdim}, "maximum and sum"),
    ),
)
def missing_keepdim(attn_scores: Tensor, _: Inputs) -> Tensor:
    """sums (or takes the maximum) over the keys without keepdim=True, so that the result meets the wrong axis.

    Without keepdim a sum over the keys has the shape (..., query). Broadcasting aligns shapes from the right, so it is
    read as (..., key): every column is divided by a sum that belongs to a row.

    Bad:
        attn_weights = exponentials / exponentials.sum(-1)
    Good:
        attn_weights = exponentials / exponentials.sum(-1, keepdim=True)

    Effect: Rows that do not sum to 1, or an exception about sizes where queries and keys differ in number.
    Nudge: Print the shape of the sum. Which axis of the exponentials does it line up with?
    Fix: Add keepdim=True to the sum and to the maximum.
    """
    numerators = exponentials(attn_scores)
    return numerators / numerators.sum(-1)[..., None, :]


def _renormalised(attn_scores: Tensor, inputs: Inputs, eps: float = 0.0, *, is_bound: bool = False) -> Tensor:
    kept = attn_scores.softmax(-1) * inputs.keep_mask
    total = kept.sum(-1, keepdim=True)
    return kept / (total.clamp_min(eps) if is_bound else total + eps)


@misconception(
    "AG215",
    "mask-renormalised",
    replaces="normalise",
    family="softmax",
    probe="large-scores",
    together_with={"mask": unchanged},
    variants=tuple(
        StageOverride({"mask": unchanged, "normalise": partial(_renormalised, eps=eps, is_bound=is_bound)}, note)
        for eps in (1e-12, 1e-9, 1e-8, 1e-6)
        for is_bound, note in ((False, f"with {eps:g} in the divisor"), (True, f"with a divisor of at least {eps:g}"))
    ),
)
def mask_renormalised(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """masks after the softmax and divides by what is left, which fails where little is left.

    On paper it is the same. But softmax has given nearly all of the weight to the largest score, and if that one is
    blocked, what is left may be smaller than any floating-point number: 0 / 0 is NaN, and with an epsilon it is 0.

    Bad:
        attn_weights = attn_scores.softmax(-1) * mask
        attn_weights = attn_weights / attn_weights.sum(-1, keepdim=True)
    Good:
        attn_weights = attn_scores.masked_fill(~mask, float("-inf")).softmax(-1)

    Effect: Right on ordinary scores; NaN or zeros, and gradients through the future, where scores are large.
    Nudge: What is left of a row in which a blocked key has by far the largest score?
    Fix: Block the scores before the softmax.
    """
    return _renormalised(attn_scores, inputs)
