"""What every format is made of: rows of checks, points on one scale, and the words above them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from pytest_attn_grader.reports.escaping import for_log
from pytest_attn_grader.results.report import CheckResult, GradeReport

# What one check may say, in characters; then the same when a document has grown too large, and again.
MESSAGE_LIMITS = (2000, 300, 0)
_PLACE = re.compile(r"(?P<file>.+?):(?P<line>[1-9][0-9]*)")


@dataclass(frozen=True)
class Format:
    """One format.

    Args:
        name: what is typed before the colon of `--attn-format=NAME:PATH`.
        what: what it is, for the help.
        render: the text of the file.
        step_file_variable: GitHub gives every step a file for this, which is appended to.
    """

    name: str
    what: str
    render: Callable[[GradeReport], str]
    step_file_variable: str | None = None


@dataclass(frozen=True)
class CheckRow:
    """One check as others show it; `points` and `possible` are on the scale of the whole assignment."""

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
    """The checks that count, in their order; what is not applicable is nobody's loss and left out.

    Failed tests of the instructor's that are no checks have no row of their own in our report: one row says so.
    """
    scale = _scale(report)
    made = [_row(check, report, scale, max_chars) for check in report.checks if check.outcome != "not-applicable"]
    if report.verdict == "failed" and not any(row.outcome == "failed" for row in made):
        words = for_log(report.reason, max_chars)
        made.append(CheckRow("course", "the course's own tests", "custom", "failed", 0.0, 0.0, words, None, 0.0))
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
        message=for_log(_words(check, report), max_chars),
        location=source_location(check, report),
        seconds=check.seconds,
    )


def _words(check: CheckResult, report: GradeReport) -> str:
    if check.outcome == "failed":
        lines = [f"expected: {check.expected}", f"actual:   {check.actual}"]
        return "\n".join([*lines, f"hint:     {check.hint}"] if hints_allowed(report) else lines)
    if check.outcome == "skipped":
        return f"not run: {check.message}"
    return check.message


def hints_allowed(report: GradeReport) -> bool:
    """Whether the run was to say more than what the submission did."""
    return report.settings.get("hints", "explain") != "none"


def source_location(check: CheckResult, report: GradeReport) -> tuple[str, int] | None:
    """File and line of a check that failed: where the student's code broke, or else where it begins.

    The file is relative to where the run was started. None when it lies in no file of the submission.
    """
    if check.outcome != "failed":
        return None
    broke = None if check.failure is None else check.failure.where
    return _place(broke, report) or student_place(report)


def student_place(report: GradeReport) -> tuple[str, int] | None:
    """File and line at which the graded function or class begins."""
    return _place(report.student.where, report)


def _place(where: str | None, report: GradeReport) -> tuple[str, int] | None:
    found = _PLACE.fullmatch(where or "")
    if found is None or found["file"] not in report.student.files:
        return None
    return _folder(report) + found["file"], int(found["line"])


def _folder(report: GradeReport) -> str:
    """From where the run was started to the submission's root: what a typed path has before a file of the report."""
    typed = report.student.target.replace("\\", "/")
    for file in report.student.files:
        before, found, after = typed.rpartition(file)
        if found and (not before or before.endswith("/")) and (not after or after.startswith(":")):
            return before.removeprefix("./")
    return ""


def total(report: GradeReport) -> tuple[float, float]:
    """Points earned and possible, as the course has set them for the whole assignment.

    What cannot be asked of a submission lowers its possible points; whoever sets up an assignment elsewhere needs one
    number for everybody. So the share of what could be asked is given of the whole.
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
    """One line: the verdict and its points, or why there is none."""
    if report.verdict == "ungradable":
        return f"Not graded, and no points given or taken: {for_log(report.reason, 2000)}"
    earned, possible = total(report)
    because = f": {for_log(report.reason, 500)}" if report.reason else ""
    return f"{report.verdict.capitalize()}, {points_text(earned)} of {points_text(possible)} points{because}"


def headline(report: GradeReport) -> str:
    """What stands above the checks: the verdict, the named mistake and its hint."""
    lines = [verdict_line(report)]
    if report.model.fallback_reason:
        lines.append(f"Graded in the embedded model, because {for_log(report.model.fallback_reason, 500)}")
    if report.diagnosis is not None and hints_allowed(report):
        lines += [for_log(line, 2000) for line in (report.diagnosis.message, report.diagnosis.hint) if line]
    return "\n".join(lines)


def points_text(value: float) -> str:
    """Points as people write them: two decimals at most."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def as_json(document: dict[str, Any]) -> str:
    """JSON as every reader takes it: no NaN, and nothing but ASCII."""
    return json.dumps(document, allow_nan=False, indent=1) + "\n"


def fit_to_size(texts: Iterable[str], max_bytes: int) -> str:
    """The first of these texts, each shorter than the one before, that is no larger than that.

    Raises:
        ValueError: not even the last one is.
    """
    for text in texts:
        if len(text.encode("utf-8")) <= max_bytes:
            return text
    raise ValueError(f"nothing is as short as {max_bytes} bytes")
