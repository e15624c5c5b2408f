"""Write the header and the summary of a run: with colours on a terminal, as plain lines elsewhere."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pytest_attn_grader.reports.escaping import for_path
from pytest_attn_grader.reports.escaping import for_terminal as printable
from pytest_attn_grader.reports.summary import COLOURS, CategoryPoints, Summary, points, summarize
from pytest_attn_grader.results.report import GradeReport
from pytest_attn_grader.settings.settings import Settings

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

BAR_WIDTH = 20


def report_header(settings: Settings, tier: str | None) -> list[str]:
    """Build the first lines of a run: target, model, sandbox, and an ignored ini file."""
    # Which model auto stands for is known when it has been loaded; the summary says it.
    model = "" if settings.model == "auto" else f" of {settings.model}"
    lines = [f"attn-grader: {printable(settings.student)} in {settings.layers_in_words}{model}"]
    if settings.ini.ignored_options:
        name, options = printable(str(settings.ini.path)), printable(", ".join(settings.ini.ignored_options))
        lines.append(
            f"ini file: {name} is ignored, because it is in the submission's folder: {options} "
            f"(use -c {name} to apply it)"
        )
    return lines if tier is None else [*lines, f"sandbox: {printable(tier)}"]


def write_summary(report: GradeReport, reporter: TerminalReporter, settings: Settings) -> None:
    """Write the summary through pytest's reporter, which handles colour and capture."""
    summary = summarize(report, settings, verbose=reporter.verbosity > 0)
    reporter.write_sep("=", "attention grader", bold=True)
    if reporter.isatty and reporter.hasmarkup:
        from pytest_attn_grader.reports.rich_summary import render_summary

        text = render_summary(summary, width=shutil.get_terminal_size().columns)
        if _has_characters(text):
            reporter.write(text, flush=True)
            return
    for line, markup in _lines(summary):
        reporter.write_line(line, **dict.fromkeys(markup, True))


def _has_characters(text: str) -> bool:
    """Whether the terminal has every character of the text; for want of one, pytest would escape the whole text."""
    encoding = getattr(sys.__stdout__, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def render_text(report: GradeReport, settings: Settings) -> str:
    """The summary as plain text, without colours."""
    return "\n".join(line for line, _ in _lines(summarize(report, settings)))


def _lines(summary: Summary) -> Iterator[tuple[str, tuple[str, ...]]]:
    for row in summary.rows:
        yield _bar(row), ("green",) if row.earned == row.possible else ("red",)
    for line in summary.notes:
        yield f"{line.label}: {line.text}", ("yellow",) if line.label == "note" else ()
    yield summary.headline, (COLOURS[summary.verdict], "bold")
    for place, line in enumerate(summary.highlights):
        label = f"{line.label}: " if line.label else ""
        first, *others = line.text.split("\n")
        yield label + first, ("bold",) if place == 0 else ()
        for other in others:
            yield " " * len(label) + other, ()
    for what, path in summary.output_files:
        yield f"{what}: {for_path(path)}", ()


def _bar(row: CategoryPoints) -> str:
    earned, lost, not_run = row.split_bar(BAR_WIDTH)
    bar = "#" * earned + "." * lost + "-" * not_run
    line = f"  {row.category:<12} {bar} {points(row.earned):>5} / {points(row.possible)}"
    return f"{line}  {row.not_run_in_words}" if row.not_run else line
