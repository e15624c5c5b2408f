"""Same question, same answer; and hands off the caller's tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_attn_grader.grading.evidence import Evidence
    from pytest_attn_grader.grading.session import GradingSession
    from pytest_attn_grader.plugin.hooks import Observe

NEEDS = ("contract.call", "shape[basic]")
DROPOUT_P = 0.5  # as in the variant "dropout-off"


@pytest.mark.attn_check(
    id="purity.inputs", title="the inputs are left as they were", category="purity", needs=("contract.call",)
)
def test_inputs_unchanged(attn_observe: Observe, attn_evidence: Evidence) -> None:
    observation = attn_observe("single")
    changed = observation.changed_inputs
    attn_evidence.record(changed=changed)
    attn_evidence.check(
        not changed,
        expected="query, key, value and mask untouched after the call: the model uses them again",
        actual=f"{' and '.join(changed)} changed during the call",
        hint="methods that end in an underscore (mul_, masked_fill_), and operators such as *= and /= on the inputs",
    )


@pytest.mark.attn_check(
    id="purity.repeatable",
    title="the second call answers like the first",
    category="purity",
    needs=(*NEEDS, "weights.finite"),
)
def test_repeatable(attn_observe: Observe, attn_evidence: Evidence) -> None:
    first = attn_observe("basic")
    again = attn_observe("basic", variant="again", expected="an answer to the same question a second time")
    same_shape = again.attn_output.shape == first.attn_output.shape
    change = first.error_between(again.attn_output, first.attn_output) if same_shape else float("inf")
    tolerance = first.tolerance.tolerance["attn_output"]
    attn_evidence.record(largest_change=change, tolerance=tolerance)
    attn_evidence.check(
        change <= tolerance,
        expected="the same output for the same input outside of training",
        actual=f"the output moved by {change:.3g}",
        hint="dropout that is always on, memory that was never filled (torch.empty), and state kept between calls",
    )


@pytest.mark.attn_check(
    id="purity.dropout-off",
    title="outside of training nothing is dropped",
    category="purity",
    needs=(*NEEDS, "purity.repeatable"),
)
def test_dropout_off(attn_session: GradingSession, attn_observe: Observe, attn_evidence: Evidence) -> None:
    if not attn_session.student.takes_dropout:
        attn_evidence.not_applicable("it has no dropout parameter")
    if attn_session.contract.kind == "function" and "training" not in attn_session.contract.roles:
        attn_evidence.not_applicable("it has no parameter that switches training off")
    without = attn_observe("basic")
    switched_off = attn_observe("basic", variant="dropout-off", expected="an answer outside of training")
    change = without.error_between(switched_off.attn_output, without.attn_output)
    tolerance = without.tolerance.tolerance["attn_output"]
    attn_evidence.record(largest_change=change, tolerance=tolerance)
    attn_evidence.check(
        change <= tolerance,
        expected=f"outside of training the same output with dropout {DROPOUT_P} as without any",
        actual=f"the output moved by {change:.3g}",
        hint="F.dropout(attn_weights, p=dropout_p, training=training): without `training` it drops always",
    )


@pytest.mark.attn_check(
    id="purity.dropout",
    title="dropout drops weights in training and leaks no future",
    category="purity",
    needs=(*NEEDS, "purity.repeatable"),
)
def test_dropout(attn_session: GradingSession, attn_observe: Observe, attn_evidence: Evidence) -> None:
    if not attn_session.student.takes_dropout:
        attn_evidence.not_applicable("it has no dropout parameter")
    # A function that takes no mask cannot know what is padding.
    evaluated = attn_observe("unpadded" if attn_session.contract.mask_convention == "none" else "basic")
    report = attn_session.observe_training(evaluated.probe, DROPOUT_P, first_changed=5)
    attn_evidence.require_answer(report.failure, expected=f"an answer in training with dropout {DROPOUT_P}")
    attn_evidence.record(
        change_between_calls=report.change_between_calls, leak=report.leak, drops_weights=report.drops_weights
    )
    tolerance = evaluated.tolerance.tolerance["attn_output"]
    attn_evidence.check(
        report.change_between_calls > tolerance,
        expected=f"other outputs at each call in training with dropout_p={DROPOUT_P}",
        actual="two calls gave the same output: nothing was dropped",
        hint="F.dropout(attn_weights, p=dropout_p, training=training), between softmax and the product with value",
    )
    attn_evidence.check(
        report.leak <= tolerance,
        expected="no influence of later tokens in training either",
        actual=f"earlier outputs moved by {report.leak:.3g} when later tokens were replaced",
        hint="dropout on scores: a masked score that is dropped becomes 0, and 0 is not masked",
    )
    # A module may drop its output besides, which hides what became of the weights; wrong weights are told elsewhere.
    right_without = evaluated.weights_error <= evaluated.tolerance.tolerance["attn_weights"]
    if attn_session.contract.kind != "module" and right_without:
        attn_evidence.check(
            report.drops_weights,
            expected="in training some weights set to 0 and the others divided by (1 - dropout_p)",
            actual="an output that is no sum of such weights times value",
            hint="which tensor goes through dropout: the weights after softmax, not the scores and not the output",
        )
