"""Show the result of the last run, and what changed since the one before."""

from __future__ import annotations

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from pytest_attn_grader.reports.summary import COLOURS, points, summarize
from pytest_attn_grader.results.report import GradeReport
from pytest_attn_grader.settings.settings import Settings


class ResultDisplay:
    """On a terminal a result replaces the last one; elsewhere each is printed below it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._previous: str | None = None

    def __enter__(self) -> ResultDisplay:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show_message(self, text: str) -> None:
        self._show(Text(text))

    def show(self, report: GradeReport) -> None:
        """Show a report."""
        summary = summarize(report, Settings(student=report.student.target))
        current = describe_result(report)
        lines = [Text(summary.headline, style=f"bold {COLOURS[report.verdict]}")]
        for line in summary.highlights:
            lines.append(Text(f"{line.label}: {line.text}" if line.label else line.text))
        if self._previous is not None:
            same = self._previous == current
            lines.append(Text("no change" if same else f"was: {self._previous}; now: {current}", style="dim"))
        self._previous = current
        self._show(Group(*lines))

    def _show(self, content: Text | Group) -> None:
        if self._live is None:
            self._console.print(content)
        else:
            self._live.update(content, refresh=True)


def describe_result(report: GradeReport) -> str:
    """A result in a few words: `right, 100 of 100`, the slugs of the mistakes, or how many checks failed."""
    if report.verdict == "ungradable":
        return "ungradable"
    score = f"{points(report.score.earned)} of {points(report.score.possible)}"
    if report.verdict == "passed":
        return f"right, {score}"
    failed = sum(check.outcome == "failed" for check in report.checks)
    named = ", ".join(report.diagnosis.slugs) if report.diagnosis is not None else ""
    counted = "1 failed check" if failed == 1 else f"{failed} failed checks"
    return f"{named or counted}, {score}"
