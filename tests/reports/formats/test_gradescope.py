"""Against the published specification, written down as a JSON Schema: Gradescope publishes prose only."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from pytest_attn_grader.reports.formats.gradescope import render
from tests.reports.formats import samples

TEXT_FORMAT = {"enum": ["text", "html", "simple_format", "md", "ansi"]}
VISIBILITY = {"enum": ["visible", "hidden", "after_due_date", "after_published"]}
TEST = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        **{key: {"type": "number", "minimum": 0} for key in ("score", "max_score")},
        **{key: {"type": "string"} for key in ("name", "number", "output")},
        **dict.fromkeys(("name_format", "output_format"), TEXT_FORMAT),
        "status": {"enum": ["passed", "failed"]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "visibility": VISIBILITY,
        "extra_data": {"type": "object"},
    },
}
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        **{key: {"type": "number"} for key in ("score", "execution_time")},
        "output": {"type": "string"},
        **dict.fromkeys(("output_format", "test_output_format", "test_name_format"), TEXT_FORMAT),
        **dict.fromkeys(("visibility", "stdout_visibility"), VISIBILITY),
        "extra_data": {"type": "object"},
        "tests": {"type": "array", "items": TEST},
        "leaderboard": {"type": "array"},
    },
}


def rendered(report: Any) -> dict[str, Any]:
    document = json.loads(render(report))
    jsonschema.validate(document, SCHEMA)
    return document


def test_every_report_keeps_to_the_specification() -> None:
    for report in samples.hostile():
        rendered(report)


def test_score_tests_and_time() -> None:
    document = rendered(samples.failed())
    assert document["score"] == pytest.approx(21.052632)
    assert document["execution_time"] == 3.75
    assert [test["status"] for test in document["tests"]] == ["passed", "failed", "failed"]
    assert document["tests"][2]["output"] == "not run: needs equivalence.x"
    assert sum(test["score"] for test in document["tests"]) == pytest.approx(document["score"], abs=1e-5)
    assert document["output"].splitlines()[0] == "Failed, 21.05 of 100 points: 1 check failed"
    assert "no-scale" in document["output"]


def test_an_ungradable_run_is_no_zero() -> None:
    """Neither a score nor a test with one: Gradescope then says that the autograder failed."""
    document = rendered(samples.ungradable())
    assert not {"score", "tests"} & set(document)
    assert "no points given or taken" in document["output"]


def test_nothing_of_a_student_s_is_markup() -> None:
    document = rendered(samples.failed(samples.HOSTILE))
    formats = {document[name] for name in ("output_format", "test_output_format", "test_name_format")}
    assert formats == {"text"}
