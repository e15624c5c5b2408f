"""Are the weights a probability distribution over the keys, and do they make the output?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_attn_grader.checks.outputs import ROUGHLY
from pytest_attn_grader.grading.evidence import format_number

if TYPE_CHECKING:
    from pytest_attn_grader.grading.evidence import Evidence
    from pytest_attn_grader.grading.observation import Observation
    from pytest_attn_grader.plugin.hooks import Observe

NEEDS = ("contract.call", "shape[basic]")


@pytest.mark.attn_check(id="weights.finite", title="weights and output are finite", needs=NEEDS)
def test_finite(attn_observe: Observe, attn_evidence: Evidence) -> None:
    observation = attn_observe("basic")
    bad_weights = int((~observation.student_weights.isfinite()).sum())
    bad_outputs = int((~observation.student_output.isfinite()).sum())
    attn_evidence.record(non_finite_weights=bad_weights, non_finite_outputs=bad_outputs)
    attn_evidence.check(
        bad_weights + bad_outputs == 0,
        expected="finite numbers in every row that has at least one key to attend to",
        actual=f"{bad_weights} weights and {bad_outputs} outputs are NaN or infinite",
        hint="rows whose keys are all masked (softmax of only -inf is NaN), and the sign of the value you mask with",
    )


@pytest.mark.attn_check(id="weights.non-negative", title="no weight is negative", needs=(*NEEDS, "weights.finite"))
def test_non_negative(attn_observe: Observe, attn_evidence: Evidence) -> None:
    smallest = float(attn_observe("basic").student_weights.min())
    attn_evidence.record(smallest_weight=smallest)
    attn_evidence.check(
        smallest >= 0,
        expected="weights between 0 and 1: a softmax is never negative",
        actual=f"a weight of {format_number(smallest)}",
        hint="whether softmax is applied to the scores at all, and what is returned as weights",
    )


@pytest.mark.attn_check(
    id="weights.rows-sum-to-one", title="every row of weights sums to 1", needs=(*NEEDS, "weights.finite")
)
def test_rows_sum_to_one(attn_observe: Observe, attn_evidence: Evidence) -> None:
    observation = attn_observe("basic")
    sums = observation.student_weights.double().sum(dim=-1)
    worst = float(sums.flatten()[(sums - 1).abs().argmax()])
    tolerance = max(observation.tolerance.tolerance["attn_weights"] * observation.probe.key.shape[-2], 1e-5)
    attn_evidence.record(worst_row_sum=worst, tolerance=tolerance)
    hint = "the axis of softmax (dim=-1 is the keys), and anything that changes the weights after it"
    if abs(worst - 1) > tolerance and _are_right_but_for_a_factor(observation):
        hint = "what the weights are divided by, and what changes them after softmax: within each row they are right"
    attn_evidence.check(
        abs(worst - 1) <= tolerance,
        expected="weights that sum to 1 over the keys, for every query",
        actual=f"a row that sums to {format_number(worst, '.6g')}, off by {format_number(abs(worst - 1), '.2g')} "
        f"(allowed: {tolerance:.1g})",
        hint=hint,
    )


def _are_right_but_for_a_factor(observation: Observation) -> bool:
    """Whether each row of weights, divided by its sum, is the reference's."""
    from pytest_attn_grader.attention.probes import real_rows

    assert observation.reference.attn_weights is not None
    reference = real_rows(observation.reference.attn_weights, observation.probe)
    weights = observation.student_weights.double()
    return bool((weights / weights.sum(-1, keepdim=True) - reference).abs().max() < ROUGHLY)


@pytest.mark.attn_check(
    id="weights.times-value", title="weights times value is the output", needs=(*NEEDS, "weights.finite")
)
def test_times_value(attn_observe: Observe, attn_evidence: Evidence) -> None:
    observation = attn_observe("basic")
    product = observation.attn_weights.double() @ observation.probe.value.double()
    error = observation.error_between(product, observation.attn_output)
    tolerance = 2 * observation.tolerance.tolerance["attn_output"]
    attn_evidence.record(max_abs_error=error, tolerance=tolerance)
    attn_evidence.check(
        error <= tolerance,
        expected="attn_output equal to attn_weights @ value",
        actual=f"they differ by up to {format_number(error)} (allowed: {tolerance:.1g})",
        hint="which weights the output is made of: masked ones? those that are returned? and of which value?",
    )
