"""Faults of a submission against a hypothesis, and the quick way to rule one out."""

from __future__ import annotations

import pytest

from pytest_attn_grader.misconceptions import PredictionCache, find_misconception
from pytest_attn_grader.misconceptions.hypotheses import CORRECT, single_hypotheses
from pytest_attn_grader.misconceptions.mismatches import MismatchFinder

# A factor, another axis, the future, NaN in some rows, and one that its first output does not show.
SLUGS = ("no-scale", "softmax-query-axis", "no-causal-mask", "inf-times-zero", "mask-fill-small", "q-data")


@pytest.mark.parametrize("slug", SLUGS)
def test_what_the_first_output_rules_out_the_comparison_rules_out_too(slug, case_of, predictions, monkeypatch):
    case = case_of(find_misconception(slug).attention)
    hypotheses = [CORRECT, *single_hypotheses(case)]
    quick = MismatchFinder(case, predictions).fitting_first(hypotheses)
    monkeypatch.setattr(MismatchFinder, "_far_at_first", lambda *_: set())
    compared = MismatchFinder(case, predictions).fitting_first(hypotheses)
    assert quick == compared
    assert any(slug in {known.slug for known in each.mistakes} for each in quick)


def test_predictions_are_made_once(case_of, right):
    predictions, case = PredictionCache(), case_of(right)
    hypothesis = next(iter(single_hypotheses(case)))
    assert predictions.of(hypothesis, "basic", case) is predictions.of(hypothesis, "basic", case)
