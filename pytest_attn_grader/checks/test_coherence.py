"""Do the heads still encode the relations between tokens that the model has learnt, in this layer and in later ones?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from pytest_attn_grader.grading.evidence import format_number

if TYPE_CHECKING:
    from pytest_attn_grader.grading.evidence import Evidence
    from pytest_attn_grader.grading.session import GradingSession
    from pytest_attn_grader.results.comparison import Coherence, Comparison, RelationScore
    from pytest_attn_grader.settings.settings import Settings

NEEDS = ("contract.call", "shape[basic]", "weights.finite")


@pytest.mark.attn_check(id="coherence.layer", title="the heads keep the relations they encode", needs=NEEDS)
def test_layer(
    attn_session: GradingSession, attn_comparison: Comparison, attn_settings: Settings, attn_evidence: Evidence
) -> None:
    unknown = attn_session.patched.why_weights_unavailable(2 * len(attn_session.prompt.tokens))
    if unknown is not None:
        attn_evidence.not_applicable(unknown)
    coherence = _coherence(attn_comparison)
    attn_evidence.record(
        verdict=coherence.verdict,
        relations_encoded=coherence.relations_encoded,
        relations_kept=coherence.relations_kept,
    )
    own = [score for score in coherence.scores if score.layer == attn_comparison.layer_idx]
    _require_similar(own, attn_settings, attn_evidence)


@pytest.mark.attn_check(id="coherence.later-layers", title="the heads of later layers still find theirs", needs=NEEDS)
def test_later_layers(attn_comparison: Comparison, attn_settings: Settings, attn_evidence: Evidence) -> None:
    coherence = _coherence(attn_comparison)
    later = [score for score in coherence.scores if score.layer > attn_comparison.layer_idx]
    if not later:
        attn_evidence.not_applicable("the graded layer is the last one")
    _require_similar(later, attn_settings, attn_evidence)


def _coherence(comparison: Comparison) -> Coherence:
    if comparison.coherence is None:
        raise ValueError("a comparison of this run always has its coherence")
    return comparison.coherence


def _require_similar(scores: Sequence[RelationScore], settings: Settings, evidence: Evidence) -> None:
    """No score of a head is further from the reference's than the threshold; relations the text lacks are left out."""
    measured = [score for score in scores if not math.isnan(float(score.reference))]
    worst = max(measured, key=_difference)
    threshold = settings.thresholds["relation_difference"]
    student, reference = float(worst.student), float(worst.reference)
    evidence.record(
        worst=_difference(worst), threshold=threshold, relation=worst.relation, layer=worst.layer, head=worst.head
    )
    evidence.check(
        _difference(worst) <= threshold,
        expected=f"{worst.relation} attention within {threshold:g} of the reference's, on the prompt said twice",
        actual=f"{worst.relation} attention of {format_number(student, '.2f')} instead of {reference:.2f} in layer "
        f"{worst.layer}, head {worst.head}",
        hint="the checks of equivalence and masking: they name the cause, this one shows what the model loses",
    )


def _difference(score: RelationScore) -> float:
    """Distance of the two scores; infinite where the student's is not a number."""
    difference = abs(float(score.student) - float(score.reference))
    return float("inf") if math.isnan(difference) else difference
