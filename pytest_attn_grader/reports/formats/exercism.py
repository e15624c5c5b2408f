"""Exercism's results.json, version 3 of the test runner's interface.

The status `error` is for a submission that cannot be imported and for an ungradable run, which so costs no points.
Task n is category n in the order of the report.

Specification: https://exercism.org/docs/building/tooling/test-runners/interface
"""

from __future__ import annotations

from typing import Any

from pytest_attn_grader.reports.escaping import for_log
from pytest_attn_grader.reports.formats.rows import CheckRow, Format, as_json, headline, rows
from pytest_attn_grader.results.report import CATEGORIES, GradeReport

MAX_MESSAGE_CHARS = 65535
MAX_OUTPUT_CHARS = 500
_CUT = "\nOutput was truncated. Please limit to 500 chars"
_NEVER_RAN = {"import-error", "no-target"}


def render(report: GradeReport) -> str:
    if report.verdict == "ungradable" or _never_ran(report):
        # The limit may count bytes, and a character can take several.
        text = f"{headline(report)}\n{_why(report)}".strip()
        message = text.encode("utf-8")[: MAX_MESSAGE_CHARS // 2].decode("utf-8", "ignore")
        return as_json({"version": 3, "status": "error", "message": message, "tests": []})
    tests = [_test(row) for row in rows(report)]
    if tests and report.student.captured_output:
        # Printed output is captured for the whole run; the first test shows it.
        tests[0]["output"] = _cut(for_log(report.student.captured_output))
    status = "pass" if report.verdict == "passed" else "fail"
    return as_json({"version": 3, "status": status, "message": None, "tests": tests})


def _never_ran(report: GradeReport) -> bool:
    first = next((check for check in report.checks if check.failure is not None), None)
    answered = {check.category for check in report.checks if check.outcome == "passed"} - {"contract", "budget"}
    return first is not None and first.failure is not None and first.failure.name in _NEVER_RAN and not answered


def _why(report: GradeReport) -> str:
    failures = [check.failure for check in report.checks if check.failure is not None]
    if report.verdict == "ungradable" or not failures:
        return ""
    first = failures[0]
    return "\n".join(for_log(part) for part in (first.message, first.remedy, first.traceback) if part)


def _test(row: CheckRow) -> dict[str, Any]:
    return {
        "name": row.title,
        "test_code": row.id,
        "status": {"passed": "pass", "failed": "fail", "not-run": "error"}[row.outcome],
        "message": row.message or None,
        "task_id": CATEGORIES.index(row.category) + 1,
    }


def _cut(text: str) -> str:
    return text if len(text) <= MAX_OUTPUT_CHARS else text[: MAX_OUTPUT_CHARS - len(_CUT)] + _CUT


FORMAT = Format("exercism", render)
