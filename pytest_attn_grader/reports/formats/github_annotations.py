"""Annotations of GitHub Actions: workflow commands that, printed into the job's log, annotate lines in the diff.

GitHub shows ten annotations of each kind per step. File names are relative to the repository's root.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path

from pytest_attn_grader.reports.escaping import for_annotation
from pytest_attn_grader.reports.formats.rows import Format, hints_allowed, rows, student_place, verdict_line
from pytest_attn_grader.results.report import GradeReport

MAX_ERRORS = 10
_MAX_CHARS = 2000


def render(report: GradeReport, *, folder: str = "") -> str:
    """Render one workflow command per line.

    Args:
        folder: path from the repository's root to the folder of the run, with a slash at its end.
    """
    return "".join(f"{command}\n" for command in _commands(report, folder))


def _commands(report: GradeReport, folder: str) -> Iterator[str]:
    place = student_place(report)
    if report.verdict == "ungradable":
        # Not the student's fault: a warning without a line of the student's code.
        yield _command("warning", None, folder, "Attention: not graded", verdict_line(report))
        return
    if report.verdict == "passed":
        yield _command("notice", place, folder, "Attention: passed", verdict_line(report))
        return
    errors = []
    if report.diagnosis is not None and report.diagnosis.slugs and hints_allowed(report):
        text = "\n".join(filter(None, (report.diagnosis.message, report.diagnosis.hint)))
        errors.append(_command("error", place, folder, "Attention: " + ", ".join(report.diagnosis.titles), text))
    failed = [row for row in rows(report, _MAX_CHARS) if row.outcome == "failed"]
    errors += [_command("error", row.location, folder, f"Attention: {row.title}", row.message) for row in failed]
    left = len(errors) - MAX_ERRORS
    yield from errors[:MAX_ERRORS]
    more = f"\n{left} more failures are in the summary and the report." if left > 0 else ""
    yield _command("notice", place, folder, "Attention: failed", verdict_line(report) + more)


def _command(kind: str, place: tuple[str, int] | None, folder: str, title: str, message: str) -> str:
    properties = {"title": title}
    if place is not None:
        file, line = place
        # An absolute path stays absolute; the runner finds the repository in it.
        whole = posixpath.normpath(posixpath.join(folder, file))
        properties = {"file": whole, "line": str(line), "endLine": str(line), **properties}
    shown = ",".join(f"{name}={for_annotation(value, 500, is_property=True)}" for name, value in properties.items())
    return f"::{kind} {shown}::{for_annotation(message, 2 * _MAX_CHARS)}"


def folder_in_repository(environment: Mapping[str, str], here: Path) -> str:
    """Return the path from the repository's root to a folder in a job of GitHub Actions; "" elsewhere."""
    root = environment.get("GITHUB_WORKSPACE")
    if not root or not here.is_relative_to(root) or here == Path(root):
        return ""
    return f"{here.relative_to(root).as_posix()}/"


FORMAT = Format(
    "github-annotations", lambda report: render(report, folder=folder_in_repository(os.environ, Path.cwd()))
)
