from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from pytest_attn_grader.reports.formats import exercism
from tests.reports.formats import samples

EXERCISM_TEST = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "status"],
    "properties": {
        **{key: {"type": "string"} for key in ("name", "test_code")},
        "status": {"enum": ["pass", "fail", "error"]},
        "message": {"type": ["string", "null"]},
        "output": {"type": "string", "maxLength": 500},
        "task_id": {"type": "integer", "minimum": 1},
    },
}
EXERCISM = {
    "type": "object",
    "additionalProperties": False,
    "required": ["version", "status", "tests"],
    "if": {"properties": {"status": {"const": "error"}}},
    "then": {"required": ["message"], "properties": {"message": {"type": "string", "minLength": 1}}},
    "properties": {
        "version": {"const": 3},
        "status": {"enum": ["pass", "fail", "error"]},
        "message": {"type": ["string", "null"], "maxLength": 65535},
        "tests": {"type": "array", "items": EXERCISM_TEST},
    },
}


def in_exercism(report: Any) -> dict[str, Any]:
    document = json.loads(exercism.render(report))
    jsonschema.validate(document, EXERCISM)
    return document


def test_every_report_keeps_to_the_specification() -> None:
    for report in [*samples.hostile(), samples.large(600)]:
        in_exercism(report)


def test_an_ungradable_run_has_no_tests() -> None:
    document = in_exercism(samples.ungradable())
    assert (document["status"], document["tests"]) == ("error", [])
    assert "the model cannot be had" in document["message"]


@pytest.mark.parametrize(
    ("report", "status", "tests"),
    [
        (samples.passed(), "pass", ["pass", "pass"]),
        (samples.failed(), "fail", ["pass", "fail", "error"]),
        (samples.with_own_tests(), "fail", ["pass", "fail"]),
        (samples.broken_import(), "error", []),
    ],
)
def test_statuses_in_exercism(report: Any, status: str, tests: list[str]) -> None:
    document = in_exercism(report)
    assert (document["status"], [test["status"] for test in document["tests"]]) == (status, tests)


def test_a_failed_import_is_told_as_a_whole() -> None:
    message = in_exercism(samples.broken_import())["message"]
    assert message.endswith("there is no module numpyy\ninstall it\nline 1")


def test_what_was_printed_is_cut_and_said_to_be() -> None:
    output = in_exercism(samples.failed("z" * 600))["tests"][0]["output"]
    assert len(output) == 500
    assert output.endswith("Output was truncated. Please limit to 500 chars")


def test_a_task_is_a_category() -> None:
    assert [test["task_id"] for test in in_exercism(samples.failed())["tests"]] == [4, 5, 6]
