"""PrairieLearn's results.json; an ungradable run has `"gradable": false`, which costs neither points nor an attempt.

Specification: https://prairielearn.readthedocs.io/en/latest/externalGrading/
"""

from __future__ import annotations

from typing import Any

from pytest_attn_grader.reports.escaping import for_log
from pytest_attn_grader.reports.formats.rows import (
    MESSAGE_LIMITS,
    CheckRow,
    Format,
    as_json,
    fit_to_size,
    headline,
    rows,
)
from pytest_attn_grader.results.report import GradeReport

MAX_BYTES = 1_000_000
_MAX_OUTPUT_CHARS = 20_000


def render(report: GradeReport) -> str:
    if report.verdict == "ungradable":
        return as_json({"gradable": False, "format_errors": [headline(report)], "message": headline(report)})
    score = report.score.earned / report.score.possible if report.score.possible else 0.0
    document: dict[str, Any] = {
        "gradable": True,
        "score": min(max(score, 0.0), 1.0),
        "message": headline(report),
    }
    output = for_log(report.student.captured_output, _MAX_OUTPUT_CHARS)
    versions = [
        *(
            {**document, "output": output, "tests": [_test(row) for row in rows(report, max_chars)]}
            for max_chars in MESSAGE_LIMITS
        ),
        document,
    ]
    return fit_to_size(map(as_json, versions), MAX_BYTES)


def _test(row: CheckRow) -> dict[str, Any]:
    return {
        "name": row.title,
        "description": f"{row.category} ({row.id})",
        "points": row.points,
        "max_points": row.possible,
        "message": row.message,
    }


FORMAT = Format("prairielearn", render)
