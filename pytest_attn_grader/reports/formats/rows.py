"""Parts that every format uses: rows of checks, points on the assignment's scale, and the headline."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from pytest_attn_grader.reports.escaping import for_log
from pytest_attn_grader.reports.formatting import list_explanations
from pytest_attn_grader.results.report import CheckResult, GradeReport

# Characters of one check's message; the smaller limits are for documents that would be too large.
MESSAGE_LIMITS = (2000, 300, 0)
_PLACE = re.compile(r"(?P<file>.+?):(?P<line>[1-9][0-9]*)")


@dataclass(frozen=True)
class Format:
    """One output format.

    Args:
        name: NAME of `--attn-format=NAME:PATH`.
        step_file_variable: environment variable with the file that GitHub Actions gives to a step; text is appended.
    """

    name: str
    render: Callable[[GradeReport], str]
    step_file_variable: str | None = None


@dataclass(frozen=True)
class CheckRow:
    """One check as other graders show it; `points` and `possible` are on the scale of the whole assignment."""

    id: str
    title: str
    category: str
    outcome: Literal["passed", "failed", "not-run"]
    points: float
    possible: float
    message: str
    location: tuple[str, int] | None
    seconds: float


def rows(report: GradeReport, max_chars: int | None = MESSAGE_LIMITS[0]) -> list[CheckRow]:
    """Return the checks that count, in order; not-applicable checks are omitted.

    The instructor's failed tests are not checks, so the report has no rows for them: one row reports them all.
    """
    scale = _scale(report)
    made = [_row(check, report, scale, max_chars) for check in report.checks if check.outcome != "not-applicable"]
    if report.verdict == "failed" and not any(row.outcome == "failed" for row in made):
        message = for_log(report.reason, max_chars)
        made.append(CheckRow("course", "the course's own tests", "custom", "failed", 0.0, 0.0, message, None, 0.0))
    return made


def _row(check: CheckResult, report: GradeReport, scale: float, max_chars: int | None) -> CheckRow:
    outcome: Literal["passed", "failed", "not-run"] = "not-run"
    if check.outcome in {"passed", "failed"}:
        outcome = check.outcome
    return CheckRow(
        id=for_log(check.id, 200),
        title=for_log(check.title, 200),
        category=check.category,
        outcome=outcome,
        points=round(check.points_earned * scale, 6),
        possible=round(check.points_possible * scale, 6),
        message=for_log(_message(check, report), max_chars),
        location=source_location(check, report),
        seconds=check.seconds,
    )


def _message(check: CheckResult, report: GradeReport) -> str:
    if check.outcome == "failed":
        lines = [f"expected: {check.expected}", f"actual:   {check.actual}"]
        return "\n".join([*lines, f"hint:     {check.hint}"] if hints_allowed(report) else lines)
    if check.outcome == "skipped":
        return f"not run: {check.message}"
    return check.message


def hints_allowed(report: GradeReport) -> bool:
    """Whether the report may show hints and the diagnosis (`--attn-hints`)."""
    return report.settings.get("hints", "explain") != "none"


def source_location(check: CheckResult, report: GradeReport) -> tuple[str, int] | None:
    """Return file and line of a failed check: where the student's code raised, or else where it begins.

    The file is relative to the folder of the run. None when the place is not in a file of the submission.
    """
    if check.outcome != "failed":
        return None
    broke = None if check.failure is None else check.failure.where
    return _place(broke, report) or student_place(report)


def student_place(report: GradeReport) -> tuple[str, int] | None:
    """Return file and line at which the graded function or class begins."""
    return _place(report.student.where, report)


def _place(where: str | None, report: GradeReport) -> tuple[str, int] | None:
    found = _PLACE.fullmatch(where or "")
    if found is None or found["file"] not in report.student.files:
        return None
    return _folder(report) + found["file"], int(found["line"])


def _folder(report: GradeReport) -> str:
    """Return the path from the folder of the run to the submission's root, taken from the target."""
    typed = report.student.target.replace("\\", "/")
    for file in report.student.files:
        before, found, after = typed.rpartition(file)
        if found and (not before or before.endswith("/")) and (not after or after.startswith(":")):
            return before.removeprefix("./")
    return ""


def total(report: GradeReport) -> tuple[float, float]:
    """Return earned and possible points on the scale that the course has set for the whole assignment.

    Checks that are not applicable lower the possible points of a submission. An assignment elsewhere needs one number
    for all students, so the share of the applicable points is scaled to the whole.
    """
    return round(report.score.earned * _scale(report), 6), round(_whole(report), 6)


def _points_by_category(report: GradeReport) -> dict[str, float]:
    asked = {check.category for check in report.checks}
    points = report.settings.get("points")
    if not isinstance(points, dict):
        return {}
    return {name: float(value) for name, value in points.items() if name != "custom" or name in asked}


def _whole(report: GradeReport) -> float:
    return sum(_points_by_category(report).values()) or report.score.possible


def _scale(report: GradeReport) -> float:
    points = _points_by_category(report)
    applicable = {check.category for check in report.checks if check.outcome != "not-applicable"}
    moot = {check.category for check in report.checks} - applicable
    left = sum(value for name, value in points.items() if name not in moot)
    return _whole(report) / left if left else 1.0


def verdict_line(report: GradeReport) -> str:
    """Return verdict and points in one line, or the reason why there is no verdict."""
    if report.verdict == "ungradable":
        return f"Not graded, and no points given or taken: {for_log(report.reason, 2000)}"
    earned, possible = total(report)
    because = f": {for_log(report.reason, 500)}" if report.reason else ""
    return f"{report.verdict.capitalize()}, {points_text(earned)} of {points_text(possible)} points{because}"


def headline(report: GradeReport) -> str:
    """Return the lines above the checks: verdict, named mistake, its hint, and where it is explained."""
    lines = [verdict_line(report)]
    if report.model.fallback_reason:
        lines.append(f"Graded in the embedded model, because {for_log(report.model.fallback_reason, 500)}")
    if report.diagnosis is not None and hints_allowed(report):
        lines += [for_log(line, 2000) for line in (report.diagnosis.message, report.diagnosis.hint) if line]
        lines += [for_log(f"More: {each}", 500) for each in list_explanations(report)]
    return "\n".join(lines)


def points_text(value: float) -> str:
    """Format points with at most two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def as_json(document: dict[str, Any]) -> str:
    """Return JSON that every reader accepts: without NaN, and ASCII only."""
    return json.dumps(document, allow_nan=False, indent=1) + "\n"


def fit_to_size(texts: Iterable[str], max_bytes: int) -> str:
    """Return the first text that is small enough; each text is shorter than the one before it.

    Raises:
        ValueError: the last text is still too large.
    """
    for text in texts:
        if len(text.encode("utf-8")) <= max_bytes:
            return text
    raise ValueError(f"no text has at most {max_bytes} bytes")
