"""GitHub Classroom: the line `result=…` that a grader step leaves for the autograding reporter.

The reporter sums up `score`, and prints names and messages into the job's log. It reports no points when `max_score`
is 0, which is what an ungradable run writes, with the status `error`. It reads the line from an environment variable,
which Linux limits to 131,072 bytes.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from pytest_attn_grader.reports.formats.rows import MESSAGE_LIMITS, CheckRow, Format, fit_to_size, headline, rows, total
from pytest_attn_grader.results.report import GradeReport

MAX_BYTES = 120_000
VERSION = 3


def render(report: GradeReport) -> str:
    return fit_to_size(map(_encode, _documents(report)), MAX_BYTES)


def _encode(document: dict[str, Any]) -> str:
    return f"result={base64.b64encode(json.dumps(document, allow_nan=False).encode()).decode()}\n"


def _documents(report: GradeReport) -> Iterator[dict[str, Any]]:
    """Yield the document with shorter and shorter messages."""
    if report.verdict == "ungradable":
        message = headline(report)
        yield {"version": VERSION, "status": "error", "message": message, "max_score": 0, "tests": []}
        return
    base = {
        "version": VERSION,
        "status": "pass" if report.verdict == "passed" else "fail",
        "message": headline(report),
        "max_score": round(total(report)[1]),
    }
    for max_chars in MESSAGE_LIMITS:
        made = rows(report, max_chars)
        yield {**base, "tests": [_test(row, score) for row, score in zip(made, _whole_points(made), strict=True)]}
    # A course can add thousands of checks: then one test stands for all.
    score = sum(_whole_points(rows(report, 0)))
    yield {**base, "tests": [{"name": "all checks", "status": base["status"], "score": score, "message": ""}]}


def _whole_points(made: list[CheckRow]) -> list[int]:
    """Give each check whole points, as Classroom needs, so that their sum is the rounded total.

    A total below the possible points is never rounded up to them.
    """
    possible = sum(row.possible for row in made)
    earned, before, scores = 0.0, 0, []
    for row in made:
        earned += row.points
        now = round(earned)
        if now == round(possible) and earned < possible - 1e-6:
            now = max(before, now - 1)
        scores.append(now - before)
        before = now
    return scores


def _test(row: CheckRow, score: int) -> dict[str, Any]:
    file, line = row.location or ("", 0)
    return {
        "name": row.title,
        "status": {"passed": "pass", "failed": "fail", "not-run": "error"}[row.outcome],
        "message": row.message,
        "test_code": row.id,
        "task_id": 0,
        "filename": file,
        "line_no": line,
        "duration": round(row.seconds, 3),
        "score": score,
        "output": "",
    }


FORMAT = Format("classroom", render, step_file_variable="GITHUB_OUTPUT")
