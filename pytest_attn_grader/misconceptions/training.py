"""Dropout as a submission's outputs show it, in training and outside of it."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn_grader.attention.dropout import (
    MAX_FACTOR_ERROR,
    MAX_RESIDUAL,
    MAX_ZERO,
    MIN_WEIGHT,
    Dropout,
    estimate_dropout,
    exact_weights,
    is_zero_or_scaled,
    output_weights,
)
from pytest_attn_grader.attention.probes import real_rows
from pytest_attn_grader.misconceptions.observations import SubmissionObservations

_MIN_ENLARGEMENT = 1.001


def find_dropout(case: SubmissionObservations, name: str) -> Dropout | None:
    """Estimate dropout of the submission's weights in training; None when the output is not made of them."""
    evaluated, record = case.attempts.get("basic"), case.attempts.get(name)
    if evaluated is None or record is None or evaluated.attn_output is None or record.attn_output is None:
        return None
    attn_weights = exact_weights(evaluated.attn_output, case.probes["basic"])
    return estimate_dropout(record.attn_output, attn_weights, case.probes[name])


def find_dropouts(case: SubmissionObservations) -> dict[float, Dropout] | None:
    """Estimate dropout in training, by its probability; None unless every probe in training shows it."""
    found = {name: find_dropout(case, name) for name in case.train_probes()}
    if not found or any(dropout is None for dropout in found.values()):
        return None
    return {case.probes[name].dropout_p: dropout for name, dropout in found.items() if dropout is not None}


def is_dropped_outside_of_training(case: SubmissionObservations, name: str) -> bool:
    """Whether the output is made of the reference's weights, some set to 0 and the others enlarged."""
    record = case.attempts.get(name)
    if record is None or record.attn_output is None:
        return False
    dropout = estimate_dropout(record.attn_output, case.references[name].attn_weights, case.probes[name])
    if dropout is None and name == "basic-eval":
        dropout = find_dropout(case, name)
    return dropout is not None and dropout.factor > _MIN_ENLARGEMENT


def has_dropped_scores(case: SubmissionObservations, name: str) -> bool:
    """Whether training gives another distribution over the keys than evaluation, or NaN."""
    before, after = _output_rows(case, "basic"), _output_rows(case, name)
    if before is None or after is None or not before.isfinite().all():
        return False
    if not after.isfinite().all():
        return True
    output = case.attempts[name].attn_output
    found = None if output is None else output_weights(output, case.probes[name])
    if found is None or case.equal(case.attempts[name], case.attempts["basic"]):
        return False
    weights, rest = found
    return rest < MAX_RESIDUAL and float((weights.sum(-1) - 1).abs().max()) < 1e-3


def has_renormalised_rows(case: SubmissionObservations, name: str) -> bool:
    """Whether training sets weights to 0 and enlarges the others of each row so that they sum to 1 again."""
    evaluated, output = case.attempts.get("basic"), case.attempts[name].attn_output
    if evaluated is None or evaluated.attn_output is None or output is None:
        return False
    found = [output_weights(each, case.probes["basic"]) for each in (evaluated.attn_output, output)]
    (before, rest), (after, other_rest) = [(None, 1.0) if each is None else each for each in found]
    if before is None or after is None or max(rest, other_rest) >= MAX_RESIDUAL:
        return False
    usable = before > MIN_WEIGHT
    zero = usable & (after.abs() < MAX_ZERO)
    kept = usable & ~zero
    ratio = torch.where(kept, after / before, torch.nan)
    lowest, highest = ratio.nan_to_num(torch.inf).amin(-1), ratio.nan_to_num(-torch.inf).amax(-1)
    several = kept.sum(-1) > 1
    is_one_factor = (highest - lowest)[several] < MAX_FACTOR_ERROR * highest[several]
    sums = after.sum(-1)[kept.any(-1)]
    return bool(zero.any() and several.any() and is_one_factor.all()) and float((sums - 1).abs().max()) < MAX_ZERO


def has_dropped_output(case: SubmissionObservations, name: str) -> bool:
    """Whether training gives the output of evaluation, single numbers set to 0 and the others scaled by one factor."""
    return _are_numbers_dropped(_output_rows(case, "basic"), _output_rows(case, name))


def is_output_dropped_outside_of_training(case: SubmissionObservations, name: str) -> bool:
    """Whether the output is the reference's, single numbers set to 0 and the others enlarged by one factor."""
    exact, after = case.references[name].attn_output, _output_rows(case, name)
    before = None if exact is None else real_rows(exact.double(), case.probes[name])
    if before is None or after is None or not _are_numbers_dropped(before, after):
        return False
    kept = (after != 0) & (before.abs() > 1e-3)
    return float((after[kept] / before[kept]).median()) > _MIN_ENLARGEMENT  # that of an activation is 1


def _are_numbers_dropped(before: Tensor | None, after: Tensor | None) -> bool:
    if before is None or after is None or before.shape != after.shape:
        return False
    zero = after == 0
    if not bool((zero.any(-1) & ~zero.all(-1)).any()):
        # Whole rows vanish where a row has one weight and that is dropped.
        return False
    return is_zero_or_scaled(after[before.abs() > 1e-3] / before[before.abs() > 1e-3])


def find_output_factors(case: SubmissionObservations) -> dict[float, float]:
    """The factor by which training multiplies the whole output, by the probability; empty where there is not one."""
    factors: dict[float, float] = {}
    for name in case.train_probes():
        before, after = _output_rows(case, "basic"), _output_rows(case, name)
        if before is None or after is None or before.shape != after.shape:
            return {}
        ratio = (after / before)[before.abs() > 1e-2]
        if not ratio.numel() or not float(ratio.max() - ratio.min()) < MAX_FACTOR_ERROR:
            return {}
        factors[case.probes[name].dropout_p] = float(ratio.median())
    return factors


def find_output_shares(case: SubmissionObservations) -> dict[float, float]:
    """The share of the output's numbers that are 0 in training, by the probability."""
    rows = {case.probes[name].dropout_p: _output_rows(case, name) for name in case.train_probes()}
    return {dropout_p: float((each == 0).double().mean()) for dropout_p, each in rows.items() if each is not None}


def _output_rows(case: SubmissionObservations, name: str) -> Tensor | None:
    """The real rows of an output in float64; None when there is none of the right shape."""
    record = case.attempts.get(name)
    if record is None or record.attn_output is None or record.attn_output.shape != case.probes[name].query.shape:
        return None
    return real_rows(record.attn_output.double(), case.probes[name])
