"""Reports to be shown, and whether they keep to the published schema."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import jsonschema

from pytest_attn_grader.grading.assemble import RunData, assemble
from pytest_attn_grader.reports.schema import SCHEMA_FILE
from pytest_attn_grader.results.report import CheckResult, GradeReport
from pytest_attn_grader.settings.settings import Settings


@cache
def _validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))


def validate(document: dict[str, Any]) -> None:
    """Raise when the whole document is not what the shipped schema says."""
    _validator().validate(document)


def validate_report(report: GradeReport) -> None:
    """The same for our part alone, in the way in which it is written."""
    written = json.loads(json.dumps(report.model_dump(mode="json"), allow_nan=False))
    summary: dict[str, Any] = {"created": 0.0, "duration": 0.0, "exitcode": None, "environment": {}, "summary": {}}
    validate({**summary, "attn_grader": written})


def check(outcome: str = "passed", category: str = "masking", **more: Any) -> CheckResult:
    """A result with everything that is not said made up."""
    fields = {"id": f"{category}.x", "title": "a title", "category": category, "outcome": outcome, **more}
    return CheckResult(**fields)


def report_of(*checks: CheckResult, settings: Settings | None = None, **more: Any) -> GradeReport:
    """A report of these checks."""
    facts = more.pop("facts", RunData())
    return assemble(settings or Settings(student="mine"), facts, checks, **more)
