"""Faults of a submission against a hypothesis, and the quick way to rule one out."""

from __future__ import annotations

import pytest
import torch

from pytest_attn_grader.misconceptions import PredictionCache, find_misconception
from pytest_attn_grader.misconceptions.diagnose import predict_first
from pytest_attn_grader.misconceptions.hypotheses import CORRECT, single_hypotheses
from pytest_attn_grader.misconceptions.matching import run_probe
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


def test_what_was_predicted_first_is_not_run_again(case_of, probes, monkeypatch):
    predictions, case = PredictionCache(), case_of(find_misconception("no-scale").attention)
    first = {"basic": case.attempts["basic"]}
    context = {"mask_convention": "keep", "rotary_base": None, "predictions": predictions}
    predict_first(first, probes, case.references, case.tolerances, **context)
    ran = []

    def run(attention, probe):
        ran.append((probe.name, probe.query.dtype))
        return run_probe(attention, probe)

    monkeypatch.setattr("pytest_attn_grader.misconceptions.matching.run_probe", run)
    # Whether there is a cache is known from a later probe.
    asked = [each for each in single_hypotheses(case) if each.mistakes[0].family != "cache"]
    catalogued = [each for each in asked if each.is_catalogued]
    assert MismatchFinder(case, predictions).fitting_first(catalogued)
    # A backward pass is for what the output does not rule out.
    assert 0 < ran.count(("basic", torch.float32)) < len(catalogued) / 4


def test_predictions_are_made_once(case_of, right):
    predictions, case = PredictionCache(), case_of(right)
    hypothesis = next(iter(single_hypotheses(case)))
    assert predictions.of(hypothesis, "basic", case) is predictions.of(hypothesis, "basic", case)


@pytest.mark.parametrize("name", ["basic", "unpadded", "bfloat16"])
def test_an_output_alone_is_that_of_the_whole_record(name, case_of, right):
    case = case_of(right)
    for hypothesis in single_hypotheses(case):
        one, other = (PredictionCache().of(hypothesis, name, case) for _ in range(2))
        alone, whole = one.attn_output, other.record.attn_output
        assert (alone is None) == (whole is None)
        assert alone is None or whole is None or torch.equal(alone.nan_to_num(), whole.nan_to_num())
