"""GitHub Classroom's reporter adds up `score`, and reports nothing when `max_score` is 0."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from pytest_attn_grader.reports.formats.github_classroom import MAX_BYTES, render
from pytest_attn_grader.results.report import GradeReport
from tests.reports.formats import samples
from tests.support.reports import check, report_of


def decoded(report: GradeReport) -> dict[str, Any]:
    name, _, value = render(report).rstrip("\n").partition("=")
    assert name == "result"
    document = json.loads(base64.b64decode(value, validate=True))
    assert document["version"] == 3
    assert isinstance(document["tests"], list)  # without it the reporter breaks off and notes no points
    for test in document["tests"]:
        assert test["status"] in {"pass", "fail", "error"}
        assert isinstance(test["score"], int)
        assert "\n::" not in f"\n{test['name']}\n{test['message']}"  # the reporter prints both
    return document


def noted(report: GradeReport) -> tuple[int, int] | None:
    """The points that the reporter notes, or None."""
    document = decoded(report)
    return (sum(test["score"] for test in document["tests"]), document["max_score"]) if document["max_score"] else None


def test_every_report_can_be_read() -> None:
    for report in samples.hostile():
        decoded(report)


def test_points_are_whole_and_their_sum_is_right() -> None:
    assert noted(samples.failed()) == (21, 100)
    thirds = [check("passed", "masking", id=f"masking.{n}") for n in range(3)]
    assert noted(report_of(*thirds)) == (20, 100)
    everything = [check("passed", name) for name in samples.passed().settings["points"] if name != "custom"]
    assert noted(report_of(*everything)) == (100, 100)


def test_nearly_everything_is_not_everything() -> None:
    settings_points = {"masking": 99.7, "shape": 0.3}
    report = report_of(check(), check("failed", "shape", actual="x"))
    report = report.model_copy(update={"settings": {**report.settings, "points": settings_points}})
    checks = tuple(
        one.model_copy(update={"points_earned": earned, "points_possible": possible})
        for one, earned, possible in zip(report.checks, (99.7, 0.0), (99.7, 0.3), strict=True)
    )
    assert noted(report.model_copy(update={"checks": checks})) == (99, 100)


def test_an_ungradable_run_notes_no_points() -> None:
    assert noted(samples.ungradable()) is None
    assert decoded(samples.ungradable())["status"] == "error"


@pytest.mark.parametrize(("report", "status"), [(samples.passed(), "pass"), (samples.with_own_tests(), "fail")])
def test_status(report: GradeReport, status: str) -> None:
    assert decoded(report)["status"] == status


def test_a_failure_has_its_place() -> None:
    failed = decoded(samples.failed())["tests"][1]
    assert (failed["filename"], failed["line_no"]) == ("week1/mine.py", 7)


@pytest.mark.parametrize("number", [40, 200, 700])
def test_the_line_fits_into_the_environment(number: int) -> None:
    report = samples.large(number)
    assert len(render(report)) <= MAX_BYTES < 131_072
    assert noted(report) == (0, 100)
