"""Step summary of GitHub Actions: Markdown of at most 1 MiB; GitHub drops a larger one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_attn_grader.reports.escaping import for_markdown
from pytest_attn_grader.reports.formats.rows import (
    MESSAGE_LIMITS,
    CheckRow,
    Format,
    fit_to_size,
    hints_allowed,
    points_text,
    rows,
    verdict_line,
)
from pytest_attn_grader.reports.formatting import list_explanations, report_title
from pytest_attn_grader.results.report import GradeReport

# Half of GitHub's limit: a step can write more than one summary into the file.
MAX_BYTES = 500_000
_PLAIN_ADDRESS = re.compile(r"https?://[\w.~:/%-]+", re.ASCII)
_MARKS = {"passed": "✅ passed", "failed": "❌ failed", "not-run": "▫️ not run"}


def render(report: GradeReport) -> str:
    return fit_to_size(
        ("\n".join(_lines(report, max_chars)) + "\n" for max_chars in (*MESSAGE_LIMITS, None)), MAX_BYTES
    )


def _lines(report: GradeReport, max_chars: int | None) -> Iterator[str]:
    """Yield the lines of the summary; `max_chars` None leaves out the list of checks."""
    yield f"## Attention: {for_markdown(verdict_line(report))}"
    yield ""
    layers = "all layers" if report.model.all_layers else f"layer {report.model.layer_idx}"
    where = "" if report.model.used is None else f" in {layers} of {for_markdown(report.model.used)}"
    yield f"{for_markdown(report_title(report), 500)}{where}"
    if report.model.fallback_reason:
        yield f"<br>Graded in the embedded model, because {for_markdown(report.model.fallback_reason, 500)}"
    yield ""
    if report.diagnosis is not None and hints_allowed(report):
        yield f"**Diagnosis.** {for_markdown(report.diagnosis.message, 2000)}"
        yield ""
        if report.diagnosis.hint:
            yield f"**Hint.** {for_markdown(report.diagnosis.hint, 2000)}"
            yield ""
        explanations = list_explanations(report)
        if explanations:
            yield f"**More.** {', '.join(map(_as_link, explanations))}"
            yield ""
    if report.verdict == "ungradable":
        return
    if report.score.by_category:
        yield from _categories(report)
    if max_chars is not None and report.checks:
        yield from _checks(rows(report, max_chars))


def _as_link(explanation: str) -> str:
    """Make a plain address a link; escaped, it would be none. Anything else stays text."""
    return f"<{explanation}>" if _PLAIN_ADDRESS.fullmatch(explanation) else for_markdown(explanation, 500)


def _categories(report: GradeReport) -> Iterator[str]:
    yield "| category | points | of | checks passed |"
    yield "|---|---:|---:|---:|"
    for category, score in report.score.by_category.items():
        passed = f"{score.checks_passed} of {score.checks_total}"
        yield f"| {for_markdown(category)} | {points_text(score.earned)} | {points_text(score.possible)} | {passed} |"
    yield ""


def _checks(made: list[CheckRow]) -> Iterator[str]:
    failed = [row for row in made if row.outcome == "failed"]
    if failed:
        yield "### What failed"
        yield ""
        yield "| check | what was found |"
        yield "|---|---|"
        for row in failed:
            yield f"| {for_markdown(row.title)} | {for_markdown(row.message)} |"
        yield ""
    yield f"<details><summary>All {len(made)} checks</summary>"
    yield ""
    yield "| check | category | outcome | points | of |"
    yield "|---|---|---|---:|---:|"
    for row in made:
        points = f"{points_text(row.points)} | {points_text(row.possible)}"
        yield f"| {for_markdown(row.title)} | {for_markdown(row.category)} | {_MARKS[row.outcome]} | {points} |"
    yield ""
    yield "</details>"
    yield ""


FORMAT = Format("github", render, step_file_variable="GITHUB_STEP_SUMMARY")
