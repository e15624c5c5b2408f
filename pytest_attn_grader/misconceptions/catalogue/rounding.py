"""Results that were rounded."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_attn_grader.attention.probes import INPUT_NAMES, Probe, max_abs_error, real_rows
from pytest_attn_grader.misconceptions.base import misconception
from pytest_attn_grader.misconceptions.observations import Recognition, SubmissionObservations
from pytest_attn_grader.misconceptions.stages import Inputs

MAX_DECIMALS = 5  # float32 has six to seven significant digits
# Of the unit of the last decimal, for numbers that float32 cannot hold exactly.
_SLACK = 0.02
_ASPECTS = frozenset({"output", "weights", "backward", *INPUT_NAMES})


def _rounds(case: SubmissionObservations) -> Recognition | None:
    """Every output, or every weight, of the first probe has a few decimals, and rounding explains the difference."""
    first = next(iter(case.eval_probes()), None)
    if first is None:
        return None
    probe, output = case.probes[first], case.attempts[first].attn_output
    if output is None or output.shape != probe.query.shape:
        return None
    for what, tensor in (("output", output), ("weights", case.kept_weights(first))):
        decimals = None if tensor is None else _decimals(tensor, probe)
        # Weights of 0 and 1 only have other causes.
        if decimals is None or (what == "weights" and decimals == 0):
            continue
        explained = frozenset(name for name in case.eval_probes() if _is_rounded(case, name, decimals))
        if first in explained:
            evidence = f"every number of the {what} has {decimals} decimals or fewer"
            return Recognition(explained, evidence, _ASPECTS)
    return None


def _decimals(tensor: Tensor, probe: Probe) -> int | None:
    """The number of decimals that all numbers of the judged rows can be written with; None beyond `MAX_DECIMALS`."""
    numbers = real_rows(tensor.double(), probe)
    for decimals in range(MAX_DECIMALS + 1):
        units = numbers * 10**decimals
        if bool(((units - units.round()).abs() < _SLACK).all()):
            return decimals
    return None


def _is_rounded(case: SubmissionObservations, name: str, decimals: int) -> bool:
    """Whether each number is within half a unit of the right one, the output also of rounded weights times values."""
    probe, record, reference = case.probes[name], case.attempts[name], case.references[name]
    tolerance, half = case.tolerances[name].tolerance, 0.5 * 10.0**-decimals
    weights, output, right = case.kept_weights(name), record.attn_output, [reference.attn_output]
    if output is None or output.shape != probe.query.shape:
        return False
    if weights is not None and reference.attn_weights is not None:
        if max_abs_error(weights, reference.attn_weights, probe) > half + tolerance["attn_weights"]:
            return False
        right.append(weights.double() @ probe.value.double())
    return any(
        each is not None and max_abs_error(output, each, probe) <= half + tolerance["attn_output"] for each in right
    )


@misconception("AG606", "rounded-results", replaces="finish", family="grad", by_numbers=False, recognise=_rounds)
def rounded_results(attn_output: Tensor, _: Inputs) -> Tensor:
    """rounds its results.

    Rounding makes numbers readable, and exercises ask for it where results are compared with printed ones. Inside a
    model it loses digits in every layer, and it has no slope: the gradient of round is 0 everywhere.

    Bad:
        return torch.round(attn_output, decimals=4), attn_weights
    Good:
        return attn_output, attn_weights

    Effect: Results are a little wrong, and nothing before this layer learns.
    Nudge: Print one number of your output with all of its digits.
    Fix: Return the numbers as they are, and round where they are printed.
    """
    return torch.round(attn_output, decimals=4)
