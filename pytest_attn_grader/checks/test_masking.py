"""Checks of the mask: a token attends to others, to none that come later, and not to padding.

Each check compares the student with itself, on inputs that differ only where it must not look, so that a mistake
elsewhere, in the scaling for example, does not fail here. An output of zeros would pass them all; the first check
fails for it, and the others need that check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_attn_grader.checks.outputs import (
    EXACT,
    check_same_output,
    has_weights_without_padding,
    is_lowest_where_masked,
)
from pytest_attn_grader.grading.evidence import format_number

if TYPE_CHECKING:
    from pytest_attn_grader.grading.evidence import Evidence
    from pytest_attn_grader.grading.observation import Observation
    from pytest_attn_grader.grading.session import GradingSession
    from pytest_attn_grader.plugin.hooks import Observe

ENCODER = "the model reads in both directions: its attention hides no future, and it keeps no cache"
ANSWERS = ("contract.call", "shape[basic]", "weights.finite")
NEEDS = (*ANSWERS, "masking.sees-others")


@pytest.mark.attn_check(id="masking.sees-others", title="a token's output depends on other tokens", needs=ANSWERS)
def test_sees_others(attn_observe: Observe, attn_evidence: Evidence) -> None:
    before = attn_observe("unpadded")
    other_past = attn_observe("unpadded", variant="other-past")
    other_future = attn_observe("unpadded", variant="other-future")
    kept, changed = other_past.probe.first_kept or 0, other_future.probe.first_changed or 0
    later = before.error_between(other_past.attn_output, before.attn_output, since=kept)
    earlier = before.error_between(other_future.attn_output, before.attn_output, until=changed)
    tolerance = before.tolerance.tolerance["attn_output"]
    attn_evidence.record(largest_later_change=later, largest_earlier_change=earlier, tolerance=tolerance)
    # One side is enough: which side a token may look at is what the other checks ask.
    attn_evidence.check(
        max(later, earlier) > tolerance,
        expected="outputs that change when other tokens are replaced: attention mixes the values of many tokens",
        actual=f"no output moved by more than {format_number(max(later, earlier))}, neither when all tokens before "
        f"{kept} were replaced nor when all from {changed} on were",
        hint="the last step, attn_weights @ value: each output is a sum over the values of many tokens, not zeros, "
        "not a constant, not the token's own value, and not a sum over the batch or the heads",
    )


_AFTER_THE_MASK = (
    "the mask is used: in every row the masked keys share the smallest weight. Look at the number that their scores "
    "get, and at every step after it: one softmax, over the keys (the last axis)"
)


def _padding_hint(observation: Observation, largest_masked_weight: float) -> str:
    if largest_masked_weight <= EXACT:
        return (
            "masked keys get no weight, so the padding comes in elsewhere: a maximum, a mean or a sum over more than "
            "the kept keys, or a view or reshape that mixes positions"
        )
    if is_lowest_where_masked(observation):
        return _AFTER_THE_MASK
    if has_weights_without_padding(observation):
        without = "without any mask" if observation.probe.is_bidirectional else "of a causal mask alone"
        return f"whether the mask argument is used: the weights are those {without}"
    return (
        "the way from the masked scores to the weights: the number that they get, and every maximum and sum, over the "
        "keys (the last axis) and for each example with its mask"
    )


@pytest.mark.attn_check(id="masking.no-weight-on-future", title="no weight on a later token", weight=2, needs=NEEDS)
def test_no_weight_on_future(attn_session: GradingSession, attn_observe: Observe, attn_evidence: Evidence) -> None:
    if not attn_session.is_causal:
        attn_evidence.not_applicable(ENCODER)
    observation = attn_observe("unpadded")
    largest = observation.largest_weight_where(~observation.probe.keep_mask)
    attn_evidence.record(largest_future_weight=largest)
    attn_evidence.check(
        largest <= EXACT,
        expected="weight 0 on every key that comes after the query",
        actual=f"a weight of {format_number(largest)} on a later token",
        hint=_AFTER_THE_MASK
        if is_lowest_where_masked(observation)
        else "how the mask reaches the scores: masked scores must become -inf (or very negative) before softmax",
    )


@pytest.mark.attn_check(
    id="masking.future-changes-nothing", title="changing later tokens changes nothing earlier", weight=2, needs=NEEDS
)
def test_future_changes_nothing(attn_session: GradingSession, attn_observe: Observe, attn_evidence: Evidence) -> None:
    if not attn_session.is_causal:
        attn_evidence.not_applicable(ENCODER)
    before = attn_observe("unpadded")
    after = attn_observe("unpadded", variant="other-future")
    first = after.probe.first_changed or 0
    attn_evidence.record(first_changed_token=first)
    check_same_output(
        attn_evidence,
        before,
        after,
        until=first,
        expected=f"the same output for tokens 0 to {first - 1} when tokens {first} and later are replaced",
        actual="earlier outputs moved by up to {change}",
        hint="the mask, the axis of softmax, and every view or reshape that could mix positions",
    )


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.attn_check(id="masking.padding", title="padding on the {side} is left alone", needs=NEEDS)
def test_padding(attn_session: GradingSession, attn_observe: Observe, attn_evidence: Evidence, side: str) -> None:
    if not attn_session.submission.attention.contract.takes_mask:
        attn_evidence.not_applicable("the function takes no mask, so it cannot know what is padding")
    name = "basic" if side == "right" else "left-padding"
    before = attn_observe(name, expected="an answer with padding")
    after = attn_observe(name, variant="other-padding", expected="an answer with padding")
    largest = before.largest_weight_where(~before.probe.keep_mask)
    change = before.error_between(after.attn_output, before.attn_output)
    tolerance = before.tolerance.tolerance["attn_output"]
    attn_evidence.record(largest_masked_weight=largest, largest_change=change, tolerance=tolerance)
    # What is wrong without padding too fails elsewhere.
    is_off = not before.is_right and attn_observe("unpadded", tolerate_failure=True).is_right
    attn_evidence.check(
        largest <= EXACT and change <= tolerance and not is_off,
        expected=f"real tokens that ignore the padding on their {side}; each example has a separate mask",
        actual=f"a weight of {format_number(largest)} on masked keys; real tokens moved by {format_number(change)} "
        f"when the padding changed{f'; they are off by {format_number(before.output_error)}' if is_off else ''}",
        hint=_padding_hint(before, largest),
    )


@pytest.mark.parametrize("new_tokens", [1, 4])
@pytest.mark.attn_check(
    id="masking.cache", title="{new_tokens} new token(s) after a cached text see all of it", needs=NEEDS
)
def test_cache(attn_session: GradingSession, attn_observe: Observe, attn_evidence: Evidence, new_tokens: int) -> None:
    if not attn_session.is_causal:
        attn_evidence.not_applicable(ENCODER)
    if new_tokens > 1 and not attn_session.submission.attention.contract.takes_mask:
        attn_evidence.not_applicable("the function builds its own mask, and a model feeds it one new token at a time")
    whole = attn_observe("unpadded")
    last = attn_observe(
        "unpadded",
        variant=f"last-{new_tokens}",
        expected=f"an answer to {new_tokens} queries and {whole.probe.key.shape[-2]} keys",
    )
    shape = tuple(last.attn_output.shape)
    attn_evidence.check(
        shape == tuple(last.probe.query.shape),
        expected=f"attn_output of shape {tuple(last.probe.query.shape)}, one vector for every query",
        actual=f"attn_output of shape {shape}",
        hint="sizes taken from key where query is meant",
    )
    change = last.error_between(last.attn_output, whole.attn_output[..., -new_tokens:, :])
    tolerance = whole.tolerance.tolerance["attn_output"]
    attn_evidence.record(largest_difference=change, tolerance=tolerance)
    attn_evidence.check(
        change <= tolerance,
        expected="the last tokens of a text get the same output whether the earlier ones are asked again or cached",
        actual=f"outputs that differ by {format_number(change)} between {last.probe.shape_text} and the whole text",
        hint="a causal mask built from the query length alone: with a cache there are more keys than queries",
    )
