from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.results.comparison import AttentionMap, Comparison, HeadComparison, NextToken, Predictions
from pytest_attn_grader.results.report import (
    CATEGORIES,
    CheckResult,
    GradeReport,
    ModelInfo,
    PromptInfo,
    Sandbox,
    Score,
)
from pytest_attn_grader.results.submission import Failure, StudentInfo

NAN, INF = float("nan"), float("inf")


def head(layer: int, **figures: float) -> HeadComparison:
    names = ("cosine", "jensen_shannon", "earth_movers", "total_variation", "argmax_agreement", "entropy_difference")
    return HeadComparison(layer=layer, head=0, **{**dict.fromkeys(names, 0.5), **figures})


def comparison(*heads: HeadComparison, layer_idx: int = 0) -> Comparison:
    return Comparison(
        layer_idx=layer_idx,
        heads=heads,
        maps=(AttentionMap(layer=0, head=0, reference=[[1.0]], student=[[NAN]]),),
        row_sum_error=INF,
        predictions=Predictions(
            reference=(NextToken(token=" mat", id=3, probability=0.5),),
            student=(),
            kl_divergence=NAN,
            top_k_agreement=0,
            reference_loss=2.5,
            student_loss=NAN,
        ),
        reference_seconds=0.1,
        student_seconds=0.2,
    )


def smallest_report() -> GradeReport:
    return GradeReport(
        verdict="ungradable",
        score=Score(earned=0, possible=0, by_category={}),
        student=StudentInfo(target="x"),
        model=ModelInfo(requested="auto"),
        prompt=PromptInfo(text="a b"),
        sandbox=Sandbox(requested="auto"),
    )


def test_json_has_no_nan_but_says_that_there_was_one() -> None:
    compared = comparison(head(0, cosine=NAN, earth_movers=-INF))
    written = json.loads(json.dumps(compared.model_dump(mode="json"), allow_nan=False))
    assert written["heads"][0]["cosine"] == "nan"
    assert written["heads"][0]["earth_movers"] == "-inf"
    assert written["heads"][0]["jensen_shannon"] == 0.5
    assert written["maps"][0]["student"] == [["nan"]]
    assert written["row_sum_error"] == "inf"
    assert written["predictions"]["kl_divergence"] == "nan"


@given(st.floats())
def test_a_number_comes_back_as_it_was_written(value: float) -> None:
    written = head(0, cosine=value)
    assert HeadComparison.model_validate_json(written.model_dump_json()) == written


def test_a_word_is_no_number() -> None:
    with pytest.raises(ValidationError, match="cosine"):
        head(0, cosine="high")  # type: ignore[arg-type]


def test_results_are_frozen_and_know_their_fields() -> None:
    failure = Failure(name="raised", message="no")
    with pytest.raises(ValidationError, match="frozen"):
        failure.message = "yes"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Failure(name="raised", message="no", colour="red")  # type: ignore[call-arg]


def test_a_failure_keeps_all_of_its_error() -> None:
    error = SubmissionError("timeout", "message", remedy="remedy", where="a.py:1", traceback="frames")
    assert Failure.from_error(error).model_dump() == {
        "name": "timeout",
        "message": "message",
        "remedy": "remedy",
        "where": "a.py:1",
        "traceback": "frames",
    }


def test_a_failure_has_one_of_the_names_of_the_report() -> None:
    with pytest.raises(ValidationError, match="out-of-memory"):
        Failure(name="odd", message="")  # type: ignore[arg-type]


@pytest.mark.parametrize("category", CATEGORIES)
def test_categories(category) -> None:
    assert CheckResult(id="a", title="a", category=category, outcome="passed").category == category


def test_an_unknown_category_is_refused_with_the_names_of_all() -> None:
    with pytest.raises(ValidationError) as caught:
        CheckResult(id="a", title="a", category="masks", outcome="passed")  # type: ignore[arg-type]
    assert all(f"'{category}'" in str(caught.value) for category in CATEGORIES)


def test_heads_of_layer() -> None:
    first, second = head(0), head(1)
    assert comparison(first, second, layer_idx=1).heads_of_layer == (second,)


def test_a_report_survives_its_own_json() -> None:
    report = smallest_report().model_copy(update={"comparison": comparison(head(0, cosine=NAN))})
    assert GradeReport.model_validate_json(report.model_dump_json()) == report
    assert GradeReport.model_validate(json.loads(json.dumps(report.model_dump(mode="json")))) == report
