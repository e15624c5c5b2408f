from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pytest_attn_grader.attention.probes import (
    SPEC_BY_NAME,
    InProcessAttention,
    Probe,
    ProbeResult,
    build_probe,
    in_float64,
)
from pytest_attn_grader.attention.reference import reference_attention
from pytest_attn_grader.attention.tolerances import FACTOR
from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.grading.observation import Observation
from pytest_attn_grader.results.submission import Failure

INF, NAN = float("inf"), float("nan")


@pytest.fixture
def probe() -> Probe:
    return build_probe(SPEC_BY_NAME["basic"], seed=4)


def observed(probe: Probe, **changes: object) -> Observation:
    """What the reference itself does, with some of the record replaced."""
    record = InProcessAttention(reference_attention).run_probe(probe)
    return Observation(probe, replace(record, **changes))  # type: ignore[arg-type]


def double_loop(one: Tensor, other: Tensor, probe: Probe, until: int = 10**6, since: int = 0) -> float:
    worst = 0.0
    for example in range(one.shape[0]):
        for head in range(one.shape[1]):
            for row in range(since, min(until, one.shape[2])):
                if probe.real_rows[example, row]:
                    for left, right in zip(
                        one[example, head, row].tolist(), other[example, head, row].tolist(), strict=True
                    ):
                        worst = max(worst, abs(left - right))
    return worst


def test_the_reference_is_within_its_own_tolerances(probe: Probe) -> None:
    observation = observed(probe)
    known = observation.tolerance.tolerance
    assert 0 < observation.output_error <= known["attn_output"]
    assert 0 < observation.weights_error <= known["attn_weights"]
    assert observation.changed_inputs == []


def test_the_yardstick_is_the_float64_reference(probe: Probe) -> None:
    exact = in_float64(probe)
    output, weights = reference_attention(exact.query, exact.key, exact.value, exact.keep_mask)
    observation = observed(probe)
    assert observation.reference.attn_output is not None
    assert torch.equal(observation.reference.attn_output, output)
    assert observation.reference.attn_weights is not None
    assert torch.equal(observation.reference.attn_weights, weights)


def test_errors_number_by_number(probe: Probe) -> None:
    wrong = observed(probe).attn_output + torch.randn_like(probe.query)
    observation = observed(probe, attn_output=wrong, attn_weights=observed(probe).attn_weights * 1.5)
    reference = observation.reference
    assert reference.attn_output is not None
    assert reference.attn_weights is not None
    assert observation.output_error == double_loop(wrong, reference.attn_output, probe)
    assert observation.weights_error == double_loop(observation.attn_weights, reference.attn_weights, probe)


@pytest.mark.parametrize("until", [0, 1, 5, 10, 11])
def test_error_between_until_a_token(until: int, probe: Probe) -> None:
    one, other = torch.randn_like(probe.query), torch.randn_like(probe.query)
    observation = observed(probe)
    expected = double_loop(one.double(), other.double(), probe, until)
    assert observation.error_between(one, other, until=until) == expected
    assert observation.error_between(one, other) == double_loop(one.double(), other.double(), probe)


@pytest.mark.parametrize("since", [0, 1, 5, 10, 11])
def test_error_between_since_a_token(since: int, probe: Probe) -> None:
    one, other = torch.randn_like(probe.query), torch.randn_like(probe.query)
    observation = observed(probe)
    expected = double_loop(one.double(), other.double(), probe, since=since)
    assert observation.error_between(one, other, since=since) == expected
    both = double_loop(one.double(), other.double(), probe, until=7, since=since)
    assert observation.error_between(one, other, since=since, until=7) == both


@pytest.mark.parametrize("until", [None, 5])
def test_error_between_things_that_cannot_be_compared(until: int | None, probe: Probe) -> None:
    observation = observed(probe)
    for other in (probe.query[..., :1], probe.query[:, :, :5], probe.query[:1], torch.zeros(3)):
        assert observation.error_between(other, probe.query, until=until) == INF
    for bad in (NAN, INF):
        wrong = probe.query.clone()
        wrong[0, 0, 4, 0] = bad
        assert observation.error_between(wrong, probe.query, until=until) == INF
        assert observation.error_between(wrong, probe.query, until=4) == 0.0


def test_largest_weight_where(probe: Probe) -> None:
    weights = torch.rand(3, 4, 10, 10) - 0.5
    weights.transpose(1, 2)[~probe.real_rows] = 9.0  # rows of padding may hold anything
    observation = observed(probe, attn_weights=weights)
    expected = 0.0
    for example in range(3):
        for row in range(10):
            for key in range(10):
                if probe.real_rows[example, row] and not probe.keep_mask[example, 0, row, key]:
                    expected = max(expected, float(weights[example, :, row, key].abs().max()))
    assert observation.largest_weight_where(~probe.keep_mask) == expected
    assert observation.largest_weight_where(torch.zeros_like(probe.keep_mask)) == 0.0
    weights[0, 0, 0, 9] = NAN
    assert observation.largest_weight_where(~probe.keep_mask) == INF


def test_the_reference_puts_no_weight_where_it_must_not(probe: Probe) -> None:
    assert observed(probe).largest_weight_where(~probe.keep_mask) == 0.0
    assert observed(probe).largest_weight_where(probe.keep_mask) > 0.1


def test_judged_rows_of_the_student(probe: Probe) -> None:
    observation = observed(probe)
    rows = int(probe.real_rows.sum())
    assert tuple(observation.student_output.shape) == (rows, 5, 64)
    assert tuple(observation.student_weights.shape) == (rows, 5, 10)
    assert torch.allclose(observation.student_weights.sum(-1), torch.ones(rows, 5))


def test_gradients(probe: Probe) -> None:
    observation = observed(probe)
    for name in ("query", "key", "value"):
        assert torch.allclose(observation.gradient(name).double(), observation.reference_gradient(name), atol=1e-5)


@pytest.mark.parametrize("name", ["query", "key", "value", "keep_mask"])
def test_an_input_that_changed_is_named(name: str, probe: Probe) -> None:
    after = {**probe.inputs, "keep_mask": probe.keep_mask}
    changed = after[name].clone()
    changed.view(-1)[0] = 1 - changed.view(-1)[0].float()
    observation = observed(probe, inputs_after={**after, name: changed})
    assert observation.changed_inputs == ["mask" if name == "keep_mask" else name]
    assert observed(probe, inputs_after={**after, name: after[name][None]}).changed_inputs != []
    assert observed(probe, inputs_after={}).changed_inputs == []


def test_asking_for_what_is_not_there_is_our_own_mistake(probe: Probe) -> None:
    failure = Failure.from_error(SubmissionError("raised", "no"))
    observation = Observation(probe, ProbeResult(probe="basic", failure=failure))
    for question in ("attn_output", "attn_weights", "student_output", "output_error", "weights_error"):
        with pytest.raises(ValueError, match="no such tensor: check its failure"):
            getattr(observation, question)
    with pytest.raises(ValueError, match="no such tensor"):
        observation.gradient("query")


def test_the_report_lists_a_tolerance_once_it_was_used(probe: Probe) -> None:
    observation = observed(probe)
    assert not observation.tolerance_was_used
    shown = observation.as_tolerance()
    assert observation.tolerance_was_used
    assert (shown.probe, shown.dtype, shown.factor) == ("basic", "float32", FACTOR)
    assert set(shown.tolerance) == set(shown.spread) == {"attn_output", "attn_weights", "query", "key", "value"}
    assert shown.tolerance == dict(observation.tolerance.tolerance)
