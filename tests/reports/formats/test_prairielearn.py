from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from pytest_attn_grader.reports.formats import prairielearn
from tests.reports.formats import samples

PRAIRIELEARN_TEST = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "points", "max_points"],  # on every test, or PrairieLearn shows points on none
    "properties": {
        **{key: {"type": "string"} for key in ("name", "description", "message", "output")},
        **{key: {"type": "number"} for key in ("points", "max_points")},
    },
}
PRAIRIELEARN = {
    "type": "object",
    "additionalProperties": False,
    "if": {"properties": {"gradable": {"const": True}}},
    "then": {"required": ["score"]},
    "properties": {
        "gradable": {"type": "boolean"},
        "score": {"type": "number", "minimum": 0, "maximum": 1},
        "format_errors": {"type": "array", "items": {"type": "string"}},
        **{key: {"type": "string"} for key in ("message", "output")},
        "tests": {"type": "array", "items": PRAIRIELEARN_TEST},
    },
}


def in_prairielearn(report: Any) -> dict[str, Any]:
    text = prairielearn.render(report)
    assert len(text.encode()) <= 1_000_000
    document = json.loads(text)
    jsonschema.validate(document, PRAIRIELEARN)
    return document


def test_every_report_keeps_to_the_specification() -> None:
    for report in [*samples.hostile(), samples.large(600)]:
        in_prairielearn(report)


def test_an_ungradable_run_costs_nothing() -> None:
    document = in_prairielearn(samples.ungradable())
    assert document["gradable"] is False
    assert "score" not in document
    assert "the model cannot be had" in document["format_errors"][0]


def test_points_in_prairielearn() -> None:
    document = in_prairielearn(samples.failed())
    assert document["score"] == pytest.approx(20 / 95 * 95 / 55)
    assert [test["points"] > 0 for test in document["tests"]] == [True, False, False]
    assert document["output"] == "printed off by 0.5"


def test_a_large_report_keeps_its_score_and_loses_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for max_bytes in (1_000_000, 20_000 + 20_000, 10_000):
        monkeypatch.setattr(prairielearn, "MAX_BYTES", max_bytes)
        found.append(in_prairielearn(samples.large(20)))
    small, middle, large = found
    assert len(small["tests"][0]["message"]) > 2000 > len(middle["tests"][0]["message"])
    assert "tests" not in large
    assert large["score"] == 0
