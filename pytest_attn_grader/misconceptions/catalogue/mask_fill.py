"""Mistakes in the value of blocked scores: it must be so small that softmax makes it exactly 0."""

from __future__ import annotations

import re
from dataclasses import replace

import torch
from torch import Tensor

from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.catalogue.padding_scores import fit_padding_fill
from pytest_attn_grader.misconceptions.observations import SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs, StageOverride, fill_blocked
from pytest_attn_grader.misconceptions.syntax import multiplies_infinity


@misconception(
    "AG301",
    "mask-multiplied",
    replaces="mask",
    family="mask",
    look_alikes=("mask-fill-zero", "mask-fill-tiny"),
    shown_by=lambda source: source.multiplies_by_mask(),
)
def mask_multiplied(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """multiplies the scores by the mask, which turns blocked scores into 0 instead of minus infinity.

    A score of 0 is a quite ordinary score: softmax gives it exp(0) = 1 share, as much as any average key. Only a
    score of minus infinity (or something like -1e9) gets the weight 0.

    Bad:
        attn_scores = attn_scores * mask
    Good:
        attn_scores = attn_scores.masked_fill(~mask, float("-inf"))

    Effect: Every token sees the future and the padding.
    Nudge: What is exp(0)?
    Fix: Use masked_fill(~mask, float("-inf")) on the scores, before the softmax.
    """
    return attn_scores * inputs.keep_mask


@misconception(
    "AG302",
    "mask-fill-zero",
    replaces="mask",
    family="mask",
    look_alikes=("mask-multiplied", "mask-fill-tiny"),
    shown_by=lambda source: source.fills_with(0.0, 0.0),
)
def mask_fill_zero(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """fills blocked scores with 0 instead of minus infinity.

    The weight of a blocked key must be 0, and weights come out of a softmax. The score that becomes weight 0 is minus
    infinity; a score of 0 becomes exp(0) = 1 share, as much as any average key.

    Bad:
        attn_scores = attn_scores.masked_fill(~mask, 0)
    Good:
        attn_scores = attn_scores.masked_fill(~mask, float("-inf"))

    Effect: Every token sees the future and the padding.
    Nudge: What is exp(0)?
    Fix: Fill with float("-inf") or torch.finfo(attn_scores.dtype).min.
    """
    return attn_scores.masked_fill(~inputs.keep_mask, 0.0)


@misconception(
    "AG303",
    "mask-fill-tiny",
    replaces="mask",
    family="mask",
    look_alikes=("mask-multiplied", "mask-fill-zero"),
    shown_by=lambda source: source.fills_with(-1e-3, -1e-300) or source.fills_with(1e-300, 1e-3),
)
def mask_fill_tiny(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """fills blocked scores with a number close to 0 (-1e-9) instead of a very negative one (-1e9).

    -1e-9 reads much like -1e9, but it is minus one billionth: practically 0, and exp(0) = 1 share for a key that should
    get none. The sign of the exponent decides.

    Bad:
        attn_scores = attn_scores.masked_fill(~mask, -1e-9)
    Good:
        attn_scores = attn_scores.masked_fill(~mask, -1e9)

    Effect: Every token sees the future and the padding.
    Nudge: Print the number you fill with. Is it large or small?
    Fix: Fill with float("-inf"), -1e9 or torch.finfo(attn_scores.dtype).min.
    """
    return attn_scores.masked_fill(~inputs.keep_mask, -1e-9)


def fit_fill(case: SubmissionObservations) -> tuple[StageOverride, ...]:
    """Read the fill off the student's weights: a blocked key's weight says what its score was."""
    changes: list[StageOverride] = []
    for name in ("basic", "large-scores"):
        if name not in case.probes:
            continue
        root = case.probes[name].query.shape[-1] ** 0.5
        fill, offset = case.blocked_score(name), case.blocked_offset(name)
        if fill is not None and -5000 < fill < -1e-3:
            changes += [_filled(fill), _filled(fill * root, before_scaling=True)]
        if offset is not None and -5000 < offset < -1e-3:
            changes += [_added(offset), _added(offset * root, before_scaling=True)]
    return (*changes, *fit_padding_fill(case))


def _filled(fill: float, *, before_scaling: bool = False) -> StageOverride:
    def mask(attn_scores: Tensor, inputs: Inputs) -> Tensor:
        return attn_scores.masked_fill(~inputs.keep_mask, fill / inputs.root if before_scaling else fill)

    return StageOverride({"mask": mask}, f"a fill of {fill:.4g}{_when(before_scaling)}")


def _added(offset: float, *, before_scaling: bool = False) -> StageOverride:
    def mask(attn_scores: Tensor, inputs: Inputs) -> Tensor:
        return attn_scores + (offset / inputs.root if before_scaling else offset) * (~inputs.keep_mask).to(attn_scores)

    return StageOverride({"mask": mask}, f"{offset:.4g} added where blocked{_when(before_scaling)}")


def _when(before_scaling: bool) -> str:
    return " before the scaling" if before_scaling else ""


@misconception(
    "AG304",
    "mask-fill-small",
    replaces="mask",
    family="mask",
    probe="large-scores",
    fit=fit_fill,
    variants=tuple(_added(offset) for offset in (-10.0, -100.0)),
)
def mask_fill_small(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """blocks with a number that is not negative enough, so that blocked keys keep some weight.

    With a fill of -10 a blocked key still gets exp(-10) = 0.00005 shares, and in a row whose real scores are low it
    gets far more. Real models have scores in the hundreds, and there a fill of -100 blocks nothing.

    Bad:
        attn_scores = attn_scores.masked_fill(~mask, -10)
    Good:
        attn_scores = attn_scores.masked_fill(~mask, float("-inf"))

    Effect: A faint look into the future on ordinary inputs, a clear one where scores are large.
    Nudge: Which score would a blocked key need to get no weight at all, whatever the other scores are?
    Fix: Fill with float("-inf") or torch.finfo(attn_scores.dtype).min.
    """
    return attn_scores.masked_fill(~inputs.keep_mask, -10.0)


@misconception(
    "AG305",
    "plus-inf-fill",
    replaces="mask",
    family="mask",
    variants=(
        StageOverride(
            {"mask": lambda attn_scores, inputs: attn_scores.masked_fill(~inputs.keep_mask, 1e9)}, "a fill of 1e9"
        ),
        StageOverride(
            {"mask": lambda attn_scores, inputs: attn_scores.masked_fill(~inputs.keep_mask, 1e4)}, "a fill of 1e4"
        ),
    ),
)
def plus_inf_fill(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """fills blocked scores with plus infinity, or a large positive number, instead of minus infinity.

    Softmax subtracts the row's largest score first, and infinity minus infinity is NaN. So every row with a blocked key
    becomes NaN; only rows in which nothing is blocked survive. With 1e9 blocked keys get all of the weight.

    Bad:
        attn_scores = attn_scores.masked_fill(~mask, float("inf"))
    Good:
        attn_scores = attn_scores.masked_fill(~mask, float("-inf"))

    Effect: NaN in nearly every output.
    Nudge: Mind the signs of the value you fill with.
    Fix: Fill with float("-inf").
    """
    return attn_scores.masked_fill(~inputs.keep_mask, float("inf"))


def _added_before_scaling(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    root = inputs.root
    return ((attn_scores * root - 1e4) / root).masked_fill(~inputs.keep_mask, inputs.fill)


def _moved_by(constant: float) -> StageOverride:
    def mask(attn_scores: Tensor, inputs: Inputs) -> Tensor:
        return (attn_scores + constant).masked_fill(~inputs.keep_mask, inputs.fill)

    return StageOverride({"mask": mask}, f"{constant:+.0e} on the scores of kept keys")


@misconception(
    "AG306",
    "mask-float-added-bias",
    replaces="mask",
    family="mask",
    variants=(
        StageOverride({"mask": _added_before_scaling}, "before the scaling"),
        StageOverride(
            {"mask": lambda scores, inputs: scores - 1e4 - 1e4 * (~inputs.keep_mask).to(scores)}, "twice where blocked"
        ),
        StageOverride(
            {"mask": lambda scores, inputs: (scores + 1e4).masked_fill(~inputs.keep_mask, inputs.fill)}, "+1e4"
        ),
        *(_moved_by(constant) for constant in (-1e9, 1e9)),
    ),
    # What rounding leaves of the scores resembles many other weights that are nearly even.
    shown_by=lambda source: re.search(r"\d[eE]\+?\d|10 ?\*\*|\d{5}|\d_000", source.text) is not None,
    only_shown=True,
)
def mask_float_added_bias(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """adds a huge constant to every score, which costs most of their decimals.

    Mathematically a constant added to a whole row cancels in the softmax. In float32 a number near 10,000 has a
    resolution of only 0.001, so the scores are rounded to three decimals before softmax sees them.

    A constant of 1e9 leaves nothing of them: every kept key gets the same weight. It is what (1 - mask) * -1e9 adds
    where the mask is 0 at kept keys.

    Bad:
        attn_scores = attn_scores + (-1e4)            # kept keys too
    Good:
        attn_scores = attn_scores.masked_fill(~mask, -1e4)   # blocked keys only

    Effect: With 10,000 errors of about 0.0002 in every weight, a thousand times larger than rounding; with 1e9 an
        average over all kept keys.
    Nudge: Which scores does your mask change? It should leave those of kept keys exactly as they are.
    Fix: Change blocked scores only: masked_fill(~mask, float("-inf")).
    """
    return (attn_scores - 1e4).masked_fill(~inputs.keep_mask, torch.finfo(attn_scores.dtype).min)


def _zero_times_infinity(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    return attn_scores + (~inputs.keep_mask).to(attn_scores) * float("-inf")


def _zero_times_infinity_in_float32(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    return attn_scores + (1.0 - inputs.keep_mask.float()) * float("-inf")


def _zero_times_blocked(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """Blocked scores of minus infinity, multiplied by a mask of the padding."""
    return fill_blocked(attn_scores, replace(inputs, fill=float("-inf"))) * inputs.keep_mask.any(-2, keepdim=True)


def _then_numbers(attn_weights: Tensor, _: Inputs) -> Tensor:
    return attn_weights.softmax(-1).nan_to_num(0.0)


def _with_numbers(case: SubmissionObservations) -> tuple[StageOverride, ...]:
    """The forms with nan_to_num: even weights, which come from other mistakes where the source does not call it."""
    if case.source.is_known and not case.source.calls("nan_to_num", "nan_to_num_", "isnan"):
        return ()
    return (
        StageOverride({"mask": _zero_times_infinity, "normalise": _then_numbers}, "with nan_to_num afterwards"),
        StageOverride(
            {"mask": lambda scores, inputs: _zero_times_infinity(scores, inputs).nan_to_num(0.0)}, "with nan_to_num"
        ),
    )


@misconception(
    "AG307",
    "inf-times-zero",
    replaces="mask",
    family="mask",
    variants=(
        StageOverride({"mask": _zero_times_infinity_in_float32}, "in float32"),
        StageOverride({"mask": lambda scores, inputs: scores * (~inputs.keep_mask) * float("-inf")}, "multiplied"),
        StageOverride({"mask": _zero_times_blocked}, "blocked scores are multiplied by the mask of the padding"),
    ),
    fit=_with_numbers,
    shown_by=lambda source: multiplies_infinity(source.nodes),
    only_shown=True,
)
def inf_times_zero(attn_scores: Tensor, inputs: Inputs) -> Tensor:
    """multiplies a mask of zeros and ones by infinity, and 0 times infinity is NaN.

    (1 - mask) * -inf is meant to give 0 for kept keys and -inf for blocked ones. But 0 * inf is not a number (NaN) in
    floating point, so every kept score becomes NaN, and with it everything else.

    Bad:
        attn_scores = attn_scores + (1.0 - mask.float()) * float("-inf")
    Good:
        attn_scores = attn_scores.masked_fill(~mask, float("-inf"))

    Effect: Every output is NaN, also where nothing is masked.
    Nudge: What is 0.0 * float("inf") in Python?
    Fix: Use masked_fill(~mask, float("-inf")), or multiply by a finite number such as -1e9.
    """
    return _zero_times_infinity(attn_scores, inputs)
