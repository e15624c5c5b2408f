"""Checks of the text that the model predicts with the student's attention inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_attn_grader.grading.evidence import format_number
from pytest_attn_grader.results.comparison import ROUNDING_NATS

if TYPE_CHECKING:
    from pytest_attn_grader.grading.evidence import Evidence
    from pytest_attn_grader.grading.session import GradingSession
    from pytest_attn_grader.results.comparison import Comparison
    from pytest_attn_grader.settings.settings import Settings

NEEDS = ("contract.call", "shape[basic]")
HINT = "the checks of equivalence and masking: the prediction is wrong because the attention is"
LOWER_LOSS = "a lower loss is no success: an attention that reads later tokens has one"


@pytest.mark.attn_check(
    id="behaviour.next-token", title="the model predicts the same token for the prompt", needs=NEEDS
)
def test_next_token(attn_comparison: Comparison, attn_settings: Settings, attn_evidence: Evidence) -> None:
    predictions = attn_comparison.predictions
    divergence, agreement = float(predictions.kl_divergence), float(predictions.top_k_agreement)
    attn_evidence.record(kl_divergence=divergence, top_k_agreement=agreement)
    wanted, got = predictions.reference[0], predictions.student[0]
    place = "at the prompt's last token" if predictions.in_place else "after the prompt"
    attn_evidence.check(
        divergence <= attn_settings.thresholds["kl_divergence"]
        and agreement >= attn_settings.thresholds["top_k_agreement"],
        expected=f"the reference's prediction {place}: {wanted.token!r} with {float(wanted.probability):.1%}",
        actual=f"{got.token!r} with {format_number(float(got.probability), '.1%')}; {agreement:.0%} of its ten "
        f"likeliest are the same, KL divergence {format_number(divergence)} nats",
        hint=HINT,
    )


@pytest.mark.attn_check(id="behaviour.loss", title="the model's loss on held-back text is unchanged", needs=NEEDS)
def test_loss(attn_comparison: Comparison, attn_settings: Settings, attn_evidence: Evidence) -> None:
    predictions = attn_comparison.predictions
    reference, student = float(predictions.reference_loss), float(predictions.student_loss)
    difference = student - reference
    attn_evidence.record(reference_loss=reference, student_loss=student)
    if abs(difference) <= ROUNDING_NATS:
        return  # the effect of the layer is not measured then
    effect = 0.0 if predictions.layer_effect is None else float(predictions.layer_effect)
    limit = max(attn_settings.thresholds["loss_share"] * effect, ROUNDING_NATS)
    attn_evidence.record(layer_effect=effect, limit=limit)
    text_words = "of each token in place" if predictions.in_place else "of each next token"
    effect_words = f"uniform attention in {attn_settings.layers_in_words} changes it by {effect:.3g}"
    if abs(difference) <= limit:
        attn_evidence.record(
            note=f"the loss changes by {difference:+.2g} nats a token; {effect_words}: too little to matter here"
        )
    attn_evidence.check(
        abs(difference) <= limit,
        expected=f"a loss of {reference:.3f} nats {text_words}, within {limit:.2g}, on text that the model has not "
        f"seen ({effect_words})",
        actual=f"{format_number(student, '.3f')} nats a token, a difference of {format_number(difference, '+.2g')}",
        hint=f"{HINT}; {LOWER_LOSS}" if difference < 0 and not predictions.in_place else HINT,
    )


@pytest.mark.parametrize("cache", ["without a cache", "with a cache"], ids=["without-cache", "with-cache"])
@pytest.mark.attn_check(
    id="behaviour.continuation", title="the model continues the prompt in the same words {cache}", needs=NEEDS
)
def test_continuation(attn_session: GradingSession, attn_evidence: Evidence, cache: str) -> None:
    use_cache = cache == "with a cache"
    if not attn_session.is_causal:
        attn_evidence.not_applicable("the model reads in both directions: it fills gaps, and continues nothing")
    if use_cache and not attn_session.submission.attention.keeps_cache:
        attn_evidence.not_applicable("it takes the hidden states of the whole text, so there is nothing to cache")
    continuation = attn_session.run_continuations(use_cache=use_cache)
    attn_evidence.require_answer(continuation.failure, expected="a continuation of the prompt, token by token")
    attn_evidence.record(reference=continuation.reference, student=continuation.student)
    attn_evidence.check(
        continuation.student == continuation.reference,
        expected=f"{continuation.reference!r}",
        actual=f"{continuation.student!r}",
        hint="the number of queries and keys: with a cache there is one query and many keys" if use_cache else HINT,
    )
