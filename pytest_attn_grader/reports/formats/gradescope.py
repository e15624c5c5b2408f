"""Gradescope's results.json.

Gradescope has no status for an ungradable run. Without a score and tests it reports that the autograder failed, which
the instructor sees and which is not a zero; that is what an ungradable run writes.

Specification: https://gradescope-autograders.readthedocs.io/en/latest/specs/
"""

from __future__ import annotations

from typing import Any

from pytest_attn_grader.reports.formats.rows import CheckRow, Format, as_json, headline, rows, total
from pytest_attn_grader.results.report import GradeReport


def render(report: GradeReport) -> str:
    document: dict[str, Any] = {
        "output": headline(report),
        # Text of a student must never be read as markup.
        "output_format": "text",
        "test_output_format": "text",
        "test_name_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "extra_data": {
            "attn_grader": {
                "verdict": report.verdict,
                "diagnosis": [] if report.diagnosis is None else list(report.diagnosis.slugs),
                "seeds": report.seeds,
                "model": report.model.used,
                "student_sha256": report.student.sha256,
            }
        },
    }
    if report.timing:
        document["execution_time"] = round(sum(phase.seconds for phase in report.timing), 2)
    if report.verdict != "ungradable":
        document["score"] = total(report)[0]
        document["tests"] = [_test(number, row) for number, row in enumerate(rows(report), start=1)]
    return as_json(document)


def _test(number: int, row: CheckRow) -> dict[str, Any]:
    return {
        "number": str(number),
        "name": f"{row.category}: {row.title}",
        "status": "passed" if row.outcome == "passed" else "failed",
        "score": row.points,
        "max_score": row.possible,
        "output": row.message,
        "tags": [row.category],
        "visibility": "visible",
        "extra_data": {"id": row.id},
    }


FORMAT = Format("gradescope", render)
