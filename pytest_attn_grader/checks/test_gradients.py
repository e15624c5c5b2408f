"""Checks of the gradients of query, key and value, one by one and through the whole model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_attn_grader.grading.evidence import format_number

if TYPE_CHECKING:
    from pytest_attn_grader.grading.evidence import Evidence
    from pytest_attn_grader.grading.observation import Observation
    from pytest_attn_grader.grading.session import GradingSession
    from pytest_attn_grader.plugin.hooks import Observe

NEEDS = ("contract.call", "shape[basic]")


@pytest.mark.parametrize("tensor", ["query", "key", "value"])
@pytest.mark.attn_check(id="gradients.flow", title="a gradient reaches {tensor}", weight=2, needs=NEEDS)
def test_flow(attn_observe: Observe, attn_evidence: Evidence, tensor: str) -> None:
    observation = attn_observe("single")
    attn_evidence.require_answer(
        observation.student.gradient_failure, expected="a backward pass through your attention"
    )
    present = observation.student.gradients.get(tensor) is not None
    attn_evidence.record(present=present)
    attn_evidence.check(
        present,
        expected=f"a gradient for {tensor}, so that its projection can learn",
        actual=f"no gradient reaches {tensor}",
        hint=".detach(), .data, .item(), .tolist(), .numpy(), torch.tensor(...) or torch.no_grad() on the way, "
        f"or a formula that never uses {tensor}",
    )
    gradient = observation.gradient(tensor)
    attn_evidence.record(norm=float(gradient.norm()))
    attn_evidence.check(
        bool(gradient.isfinite().all()),
        expected=f"a finite gradient for {tensor}",
        actual=f"{int((~gradient.isfinite()).sum())} of {gradient.numel()} numbers are NaN or infinite",
        hint="0 * inf and inf - inf: masking with infinities after softmax, or a division by a sum that can be 0",
    )
    attn_evidence.check(
        bool(gradient.any()),
        expected=f"a gradient for {tensor} that is not zero everywhere",
        actual=f"every number of the gradient of {tensor} is 0",
        hint=f"whether {tensor} has any influence on the output",
    )


@pytest.mark.parametrize("tensor", ["query", "key", "value"])
@pytest.mark.attn_check(
    id="gradients.equal",
    title="the gradient of {tensor} equals the reference's",
    needs=("equivalence.basic", "gradients.flow"),
)
def test_equal(attn_session: GradingSession, attn_observe: Observe, attn_evidence: Evidence, tensor: str) -> None:
    # A function that takes no mask cannot know what is padding.
    padded = ["basic"] if attn_session.submission.attention.contract.takes_mask else []
    for name in ["single", "unpadded", *padded]:
        observation = attn_observe(name)
        if observation.is_right:
            _check_gradient(observation, tensor, attn_evidence)


CUT_OFF_HINT = (
    "the output is right, so look at what changes the gradient alone: detach, data and no_grad on a part of the way, a "
    "hook, or a backward that you wrote yourself"
)
LOST_HINT = (
    "softmax over a row of -inf, 0 / 0 or log(0): the output hides it (by * 0, where or nan_to_num), the gradient does "
    "not. Fill blocked scores with torch.finfo(dtype).min, so that no row is without a key"
)


def _check_gradient(observation: Observation, tensor: str, evidence: Evidence) -> None:
    """Example by example: a part of a batch may be cut off from the graph, or scaled."""
    evidence.require_answer(observation.student.gradient_failure, expected="a backward pass through your attention")
    gradient, reference = observation.student.gradients.get(tensor), observation.reference_gradient(tensor)
    infinity = float("inf")
    difference = reference.new_full(reference.shape, infinity) if gradient is None else gradient.double() - reference
    by_example = difference.abs().nan_to_num(infinity, infinity).flatten(1).amax(1)
    error, example = float(by_example.max()), int(by_example.argmax())
    tolerance = observation.tolerance.tolerance[tensor]
    evidence.record(
        probe=observation.probe.name, max_abs_error=error, tolerance=tolerance, error_by_example=by_example.tolist()
    )
    numbers_lost = 0 if gradient is None else int((~gradient.isfinite()).sum())
    others_right = len(by_example) > 1 and int((by_example > tolerance).sum()) < len(by_example)
    evidence.check(
        error <= tolerance,
        expected=f"the gradient of {tensor} that the formula has, for {observation.probe.title}",
        actual=(
            f"{numbers_lost} of its {reference.numel()} numbers are NaN or infinite"
            if numbers_lost
            else f"it differs by up to {format_number(error)} (allowed: {tolerance:.1g})"
        )
        + (f", in example {example} but not in every one" if others_right else ""),
        hint=LOST_HINT if numbers_lost else CUT_OFF_HINT,
    )


@pytest.mark.attn_check(
    id="gradients.gradcheck",
    title="gradients agree with finite differences in float64",
    needs=("gradients.flow", "equivalence.basic"),
)
def test_gradcheck(attn_session: GradingSession, attn_evidence: Evidence) -> None:
    result = attn_session.run_gradcheck()
    attn_evidence.require_answer(result.failure, expected="an answer to a tiny float64 input")
    if result.skipped:
        attn_evidence.not_applicable(result.skipped)
    attn_evidence.record(message=result.message)
    attn_evidence.check(
        not result.message,
        expected="a backward pass that is the derivative of the forward pass",
        actual=result.message,
        hint="custom backward functions, and values that leave the graph and come back as constants",
    )


@pytest.mark.attn_check(
    id="gradients.model",
    title="gradients reach the token embeddings through the whole model",
    needs=("gradients.flow", "equivalence.basic"),
)
def test_model_gradients(attn_session: GradingSession, attn_evidence: Evidence) -> None:
    flow = attn_session.run_gradient_flow()
    attn_evidence.require_answer(flow.failure, expected="a backward pass of the model with your attention in it")
    attn_evidence.record(
        relative_error=flow.relative_error, student_norm=flow.student_norm, reference_norm=flow.reference_norm
    )
    attn_evidence.check(
        flow.student_norm > 0 and flow.relative_error <= 1e-3,
        expected="the gradient of the loss with respect to the token embeddings, as with the model's own attention",
        actual=f"it differs by {format_number(flow.relative_error, '.2g')} (relative), norm "
        f"{format_number(flow.student_norm)} instead of {flow.reference_norm:.3g}",
        hint="the same places as for query, key and value, and in a module its projections and their biases",
    )
