"""Checks that outputs and weights equal the reference's. These decide; all others explain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_attn_grader.checks.outputs import observe_long_text, observe_where_answered
from pytest_attn_grader.grading.evidence import format_number

if TYPE_CHECKING:
    from pytest_attn_grader.grading.evidence import Evidence
    from pytest_attn_grader.grading.observation import Observation
    from pytest_attn_grader.grading.session import GradingSession
    from pytest_attn_grader.plugin.hooks import Observe

OTHER_PROBES = ["single", "one-token", "square", "long", "narrow", "large-scores", "bfloat16"]
GROUPED_PROBES = ["groups", "multi-query"]
CACHE_PROBES = ["cache-tokens", "cache-chunks", "cache-padded"]
OPTIONS = ["training", "without-weights", "without-mask", "causal-switch", "other-mask", "scale"]
LENGTHS = ["between-1", "between-2", "limit", "blocks"]


@pytest.mark.attn_check(
    id="equivalence.basic", title="equals the reference", weight=4, needs=("contract.call", "shape[basic]")
)
def test_equivalence(attn_session: GradingSession, attn_observe: Observe, attn_evidence: Evidence) -> None:
    attention = attn_session.submission.attention
    rotates = attention.rotary_base is not None or attention.contract.tables is not None
    # A function that takes no mask cannot know what is padding: it is asked without any.
    basic = attn_observe("basic" if attention.contract.takes_mask else "unpadded")
    _judge(basic, attn_evidence, rotates=rotates)


@pytest.mark.parametrize("probe", OTHER_PROBES)
@pytest.mark.attn_check(id="equivalence", title="equals the reference: {probe}", needs=("equivalence.basic",))
def test_other_probes(attn_session: GradingSession, attn_observe: Observe, attn_evidence: Evidence, probe: str) -> None:
    _judge(attn_observe(probe), attn_evidence)


@pytest.mark.parametrize("probe", GROUPED_PROBES)
@pytest.mark.attn_check(
    id="equivalence.grouped",
    title="equals the reference where query heads share keys and values: {probe}",
    needs=("equivalence.basic",),
)
def test_grouped(attn_observe: Observe, attn_evidence: Evidence, probe: str) -> None:
    _judge(attn_observe(probe), attn_evidence)


@pytest.mark.parametrize("probe", CACHE_PROBES)
@pytest.mark.attn_check(
    id="equivalence.cache", title="gives the same with a cache as in one call: {probe}", needs=("equivalence.basic",)
)
def test_cache(attn_session: GradingSession, attn_observe: Observe, attn_evidence: Evidence, probe: str) -> None:
    if probe == "cache-padded" and not attn_session.submission.attention.contract.takes_mask:
        attn_evidence.not_applicable("it takes no mask, so it cannot know what is padding")
    # Whether a mask beside a cache has the tokens of the cache as well is for the submission to say.
    observation = (
        observe_where_answered(attn_observe, attn_evidence, probe, otherwise="it takes no padding beside a cache")
        if probe == "cache-padded"
        else attn_observe(probe)
    )
    _check_output(
        observation,
        attn_evidence,
        expected=f"the output of one call with all tokens: {observation.probe.title}",
        actual="the output",
        hint="which keys a new token sees: those of the cache and its own; and at which positions they stand",
    )


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.attn_check(
    id="equivalence.option",
    title="equals the reference when it is called otherwise: {option}",
    needs=("equivalence.basic",),
)
def test_call_options(attn_session: GradingSession, attn_evidence: Evidence, option: str) -> None:
    from pytest_attn_grader.grading.call_options import CALL_OPTIONS, observe_call_option

    observation, called = observe_call_option(attn_session, option), CALL_OPTIONS[option]
    attn_evidence.require_answer(observation.student.failure, expected=f"an answer {called.words} as well")
    _check_output(
        observation,
        attn_evidence,
        expected=f"{called.words}: {called.expected}",
        actual=f"{called.words} the output",
        hint=called.hint,
    )


@pytest.mark.attn_check(
    id="equivalence.projections",
    title="its own projections give the reference's output, biases included",
    needs=("equivalence.basic",),
)
def test_projections(attn_session: GradingSession, attn_evidence: Evidence) -> None:
    from pytest_attn_grader.grading.own_projections import observe_own_projections

    found = observe_own_projections(attn_session)
    attn_evidence.record(relative_error=found.error)
    instead = "" if found.mistake is None else f": {found.mistake.message}"
    attn_evidence.check(
        found.is_right,
        expected=f"{found.what}: the attention of x @ W_q + b_q, x @ W_k + b_k and x @ W_v + b_v, through W_o and b_o",
        actual=f"the output is off by {format_number(found.error)} of its largest number{instead}",
        hint="the lines that compute query, key and value, and the output projection",
    )


@pytest.mark.parametrize("probe", LENGTHS)
@pytest.mark.attn_check(
    id="equivalence.length", title="equals the reference on long texts: {probe}", needs=("equivalence.basic",)
)
def test_lengths(attn_session: GradingSession, attn_observe: Observe, attn_evidence: Evidence, probe: str) -> None:
    if probe == "blocks":
        if attn_session.submission.contract.kind != "function":
            attn_evidence.not_applicable("it is made for the longest text of the model, which is compared elsewhere")
        observation = attn_observe(probe, tolerate_failure=True)
        if observation.student.failure is not None:
            attn_evidence.not_applicable("it gives no answer for a text longer than the model takes")
    _judge(observe_long_text(attn_session, attn_observe, attn_evidence, probe), attn_evidence)


@pytest.mark.attn_check(
    id="equivalence.float16",
    title="equals the reference in float16 (reported, not counted)",
    weight=0,
    needs=("equivalence.basic",),
)
def test_float16(attn_observe: Observe, attn_evidence: Evidence) -> None:
    # A fill of -1e9 does not exist in float16; that is worth knowing, and costs nothing.
    observation = attn_observe("float16", tolerate_failure=True)
    failure = observation.student.failure
    attn_evidence.record(
        answered=failure is None,
        failure=None if failure is None else failure.message,
        max_abs_error=None if failure is not None else observation.output_error,
        tolerance=observation.tolerance.tolerance["attn_output"],
    )


def _check_output(observation: Observation, evidence: Evidence, *, expected: str, actual: str, hint: str) -> None:
    error, tolerance = observation.output_error, observation.tolerance.tolerance["attn_output"]
    evidence.record(output_error=error, output_tolerance=tolerance)
    evidence.check(
        error <= tolerance,
        expected=expected,
        actual=f"{actual} is off by {format_number(error)} (allowed: {tolerance:.1g})",
        hint=hint,
    )


def _judge(observation: Observation, evidence: Evidence, *, rotates: bool = False) -> None:
    came, wanted = tuple(observation.attn_output.shape), tuple(observation.probe.query.shape)
    evidence.check(
        came == wanted,
        expected=f"attn_output of shape {wanted}, for {observation.probe.title}",
        actual=f"attn_output of shape {came}",
        hint="squeeze, which removes every axis of length 1, and sizes that are typed in",
    )
    output_tolerance = observation.tolerance.tolerance["attn_output"]
    weights_tolerance = observation.tolerance.tolerance["attn_weights"]
    output_error, weights_error = observation.output_error, observation.weights_error
    evidence.record(
        output_error=output_error,
        output_tolerance=output_tolerance,
        weights_error=weights_error,
        weights_tolerance=weights_tolerance,
        spread=observation.tolerance.spread["attn_output"],
    )
    right = output_error <= output_tolerance and weights_error <= weights_tolerance
    off = [
        f"{name} off by {format_number(error)} (allowed: {tolerance:.1g})"
        for name, error, tolerance in (
            ("weights", weights_error, weights_tolerance),
            ("output", output_error, output_tolerance),
        )
        if error > tolerance
    ]
    returned, expected_dtype = observation.attn_output.dtype, observation.probe.query.dtype
    evidence.check(
        returned == expected_dtype,
        expected=f"attn_output in the dtype of the query, {expected_dtype}",
        actual=f"attn_output in {returned}",
        hint="tensors created without dtype=query.dtype, softmax(dtype=...), and .float() without .to(query.dtype)",
    )
    weights_right = weights_error <= weights_tolerance
    steps = "the scores, their scaling by 1/sqrt(head_dim), the mask and the axis of softmax, in this order"
    evidence.check(
        right,
        expected=f"softmax(query @ key.T / sqrt(head_dim)) @ value, {observation.probe.title}",
        actual=" and ".join(off) + f", with {observation.probe.shape_text}",
        hint="the weights are right, so the product with value and what follows it"
        if weights_right
        else f"the rotation of query and key by their positions, {steps}"
        if rotates
        else steps,
    )
