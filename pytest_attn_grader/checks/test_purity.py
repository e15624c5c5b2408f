"""Checks of repeated calls, of inputs that must stay as they are, and of dropout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_attn_grader.checks.outputs import check_same_output
from pytest_attn_grader.grading.evidence import format_number

if TYPE_CHECKING:
    from pytest_attn_grader.grading.evidence import Evidence
    from pytest_attn_grader.grading.experiments import TrainingRun
    from pytest_attn_grader.grading.observation import Observation
    from pytest_attn_grader.grading.session import GradingSession
    from pytest_attn_grader.plugin.hooks import Observe

NEEDS = ("contract.call", "shape[basic]")
# p, 1 - p, 1 / p and 1 / (1 - p) of both are eight different numbers.
DROPOUT_PS = (0.1, 0.3)


@pytest.mark.attn_check(id="purity.inputs", title="the inputs are left as they were", needs=("contract.call",))
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
    id="purity.import", title="importing it changes no setting of PyTorch", needs=("contract.call",)
)
def test_import_changes_nothing(attn_session: GradingSession, attn_evidence: Evidence) -> None:
    changed = attn_session.submission.process.description.changed_state
    attn_evidence.record(changed=list(changed))
    # A seed or a number of threads changes no result of anybody else's computation.
    harmful = [name for name in changed if "grad" in name or "dtype" in name]
    attn_evidence.check(
        not harmful,
        expected="an import that leaves gradients on and the default dtype as it was, for the whole program",
        actual=f"the import called {' and '.join(harmful)}; it was undone for the other checks",
        hint=f"the lines outside of functions: remove {' and '.join(harmful)}, or use it inside a with block",
    )


@pytest.mark.attn_check(
    id="purity.repeatable", title="the second call answers like the first", needs=(*NEEDS, "weights.finite")
)
def test_repeatable(attn_observe: Observe, attn_evidence: Evidence) -> None:
    first = attn_observe("basic")
    again = attn_observe("basic", variant="again", expected="an answer to the same call a second time")
    check_same_output(
        attn_evidence,
        first,
        again,
        expected="the same output for the same input outside of training",
        hint="dropout that is always on, memory that was never filled (torch.empty), and state kept between calls",
    )


@pytest.mark.attn_check(
    id="purity.dropout-off", title="outside of training nothing is dropped", needs=(*NEEDS, "purity.repeatable")
)
def test_dropout_off(attn_session: GradingSession, attn_observe: Observe, attn_evidence: Evidence) -> None:
    if not attn_session.submission.attention.takes_dropout:
        attn_evidence.not_applicable("it has no dropout parameter")
    contract = attn_session.submission.contract
    has_switch = contract.has_training_switch
    if not has_switch and not contract.default_dropout_p:
        attn_evidence.not_applicable("it has no parameter that switches training off, and drops nothing by default")
    variant = "dropout-off" if has_switch else f"dropout-default-{contract.default_dropout_p:g}"
    without = attn_observe("basic")
    switched_off = attn_observe("basic", variant=variant, expected="an answer outside of training")
    dropout_p = switched_off.probe.dropout_p
    check_same_output(
        attn_evidence,
        without,
        switched_off,
        expected=f"outside of training the same output with dropout {dropout_p:g} as without any"
        if has_switch
        else f"no dropout in a call that asks for none (the default is {dropout_p:g})",
        hint="F.dropout(attn_weights, p=dropout_p, training=training): without `training` it drops always",
    )


@pytest.mark.attn_check(
    id="purity.dropout",
    title="dropout drops weights in training and leaks no future",
    needs=(*NEEDS, "purity.repeatable"),
)
def test_dropout(attn_session: GradingSession, attn_observe: Observe, attn_evidence: Evidence) -> None:
    from pytest_attn_grader.submission.constructor_roles import is_resizable

    if not attn_session.submission.attention.takes_dropout:
        attn_evidence.not_applicable("it has no dropout parameter")
    # A function that takes no mask cannot know what is padding.
    evaluated = attn_observe("basic" if attn_session.submission.attention.contract.takes_mask else "unpadded")
    contract = attn_session.submission.contract
    is_module = contract.kind == "module"
    # A module of a fixed width gets its states in another basis, in which no single numbers vanish.
    is_fixed = is_module and not is_resizable(contract.candidate)
    for dropout_p in DROPOUT_PS:
        run = attn_session.run_training(evaluated.probe, dropout_p, first_changed=5)
        attn_evidence.require_answer(run.failure, expected=f"an answer in training with dropout {dropout_p:g}")
        _check_training(run, dropout_p, evaluated, attn_evidence)
        _check_dropped_weights(run, dropout_p, attn_evidence, is_module=is_module, is_fixed=is_fixed)


def _check_training(run: TrainingRun, dropout_p: float, evaluated: Observation, evidence: Evidence) -> None:
    """Something is dropped, another part at each call, and nothing of the future comes in."""
    tolerance = evaluated.tolerance.tolerance["attn_output"]
    evidence.record(
        dropout_p=dropout_p,
        change_in_training=run.change_in_training,
        change_between_calls=run.change_between_calls,
        leak=run.leak,
    )
    evidence.check(
        run.change_between_calls > tolerance,
        expected=f"other outputs at each call in training with dropout_p={dropout_p:g}",
        actual="two calls gave the same output: nothing was dropped"
        if run.change_in_training <= tolerance
        else "two calls dropped the same weights",
        hint="F.dropout(attn_weights, p=dropout_p, training=training), between softmax and the product with value"
        if run.change_in_training <= tolerance
        else "a seed that is set inside the function, or a mask that is drawn once and kept",
    )
    evidence.check(
        run.leak <= tolerance or not evaluated.is_right,  # what leaks outside of training is reported there
        expected="no influence of later tokens in training either",
        actual=f"earlier outputs moved by {format_number(run.leak)} when later tokens were replaced",
        hint="dropout on scores: a masked score that is dropped becomes 0, and 0 is not masked; F.alpha_dropout on "
        "weights: what it drops becomes another number than 0, on masked keys too",
    )


def _check_dropped_weights(
    run: TrainingRun, dropout_p: float, evidence: Evidence, *, is_module: bool, is_fixed: bool
) -> None:
    """A share dropout_p of the weights is 0 and the others are divided by 1 - dropout_p."""
    dropout = run.dropout
    if not run.is_weighted_sum:
        return  # wrong weights are reported elsewhere
    expected = (
        f"with dropout_p={dropout_p:g} about {dropout_p:.0%} of the weights set to 0 at random, "
        f"and the others divided by 1 - {dropout_p:g}"
    )
    hint = (
        "F.dropout(attn_weights, p=dropout_p, training=training): the weights after softmax, not the scores, the "
        "output, or one of query, key and value"
    )
    evidence.check(
        not run.sums_to_one,
        expected=expected,
        actual="other weights than outside of training, but in every row they still sum to 1",
        hint=hint,
    )
    if dropout is None and is_module and (is_fixed or run.drops_output_only):
        return
    evidence.check(
        dropout is not None and (is_module or dropout.output_share == 0),
        expected=expected,
        actual="an output that is no sum of such weights times value",
        hint=hint,
    )
    if dropout is None:
        return
    from pytest_attn_grader.attention.dropout import describe_shared

    evidence.record(dropped_share=dropout.share, factor=dropout.factor)
    # First: positions that are shared are few independent draws, whose share says little.
    evidence.check(
        not dropout.shared_by,
        expected="random numbers for every weight",
        actual=describe_shared(dropout.shared_by),
        hint="the shape of the tensor that goes through dropout, or of the random mask that it is multiplied with",
    )
    evidence.check(
        dropout.matches(dropout_p),
        expected=expected,
        actual=f"{dropout.share:.0%} of the weights were set to 0, the others multiplied by {dropout.factor:.4g}",
        hint=hint,
    )
