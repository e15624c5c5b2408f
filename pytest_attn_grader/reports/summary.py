"""What a terminal is told about a run, in words: the most useful first, and how it looks left to others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_attn_grader.reports.escaping import for_terminal as printable
from pytest_attn_grader.results.comparison import LengthTiming
from pytest_attn_grader.results.report import CheckResult, GradeReport, Phase
from pytest_attn_grader.settings import Settings

DEFAULT_TOKENS = 64
SLOWDOWN_CHECK = "budget.slowdown"


@dataclass(frozen=True)
class Line:
    """One labelled statement; several lines of text belong together."""

    label: str
    text: str


@dataclass(frozen=True)
class CategoryPoints:
    """The points of one category."""

    category: str
    earned: float
    possible: float


@dataclass(frozen=True)
class Summary:
    """Attributes:
    headline: verdict and points.
    highlights: what is wrong and what to do about it, at most three.
    rows: categories that are worth something.
    notes: what was graded, how fast it is, what was different from usual.
    output_files: what was written, and where.
    """

    verdict: str
    headline: str
    highlights: tuple[Line, ...]
    rows: tuple[CategoryPoints, ...]
    notes: tuple[Line, ...]
    output_files: tuple[tuple[str, Path], ...]


def summarize(report: GradeReport, settings: Settings, *, verbose: bool = False) -> Summary:
    """Say in words what came of a run. Everything a submission could have written is made printable.

    Args:
        verbose: say as well where the time went.
    """
    output_files = (("report", settings.report), ("page", settings.html), ("pictures", settings.plots))
    return Summary(
        verdict=report.verdict,
        headline=_headline(report),
        highlights=tuple(_highlights(report)),
        rows=tuple(
            CategoryPoints(category, score.earned, score.possible)
            for category, score in report.score.by_category.items()
            if score.possible
        ),
        notes=tuple(_notes(report, verbose=verbose)),
        output_files=tuple((what, path) for what, path in output_files if path is not None and path.exists()),
    )


def _headline(report: GradeReport) -> str:
    if report.verdict == "ungradable":
        return f"UNGRADABLE: {printable(report.reason)}"
    score = report.score
    reason = f": {report.reason}" if report.reason else ""
    return f"{report.verdict.upper()}  {points(score.earned)} of {points(score.possible)} points{reason}"


def _highlights(report: GradeReport) -> Iterator[Line]:
    """The named mistake when there is one, otherwise the first failure: checks come in the order of understanding."""
    first = next((check for check in report.checks if check.outcome == "failed"), None)
    if report.diagnosis is not None:
        yield Line("diagnosis", printable(report.diagnosis.message))
        if report.diagnosis.hint:
            yield Line("hint", _lines(report.diagnosis.hint))
        elif first is not None:
            yield from list(_failure(first))[1:]
    elif first is not None:
        yield from _failure(first)
    if report.verdict == "ungradable" and report.score.possible == 0:
        yield Line("", "No points were given or taken.")


def _failure(check: CheckResult) -> Iterator[Line]:
    yield Line("first failure", printable(check.title))
    yield Line("actual", f"{printable(check.actual)} (expected: {printable(check.expected)})")
    if check.hint:
        yield Line("hint", printable(check.hint))


def _notes(report: GradeReport, *, verbose: bool) -> Iterator[Line]:
    yield Line("graded", _subject(report))
    speed = format_speed(report)
    if speed:
        yield Line("speed", speed)
    if verbose and report.timing:
        yield Line("time", format_timing(report.timing))
    if report.model.fallback_reason:
        yield Line("note", f"graded in the embedded model, because {printable(report.model.fallback_reason)}")


def _subject(report: GradeReport) -> str:
    student, model = report.student, report.model
    what = printable(student.target if student.name is None else f"{student.target} ({student.name})")
    if model.used is None:
        return what
    size = f"{model.num_layers} layers, {model.num_heads} heads of {model.head_dim}"
    where = "all layers" if model.all_layers else f"layer {model.layer_idx}"
    return f"{what} in {where} of {printable(model.used)} ({size}) on {model.device}"


def format_speed(report: GradeReport) -> str:
    """How fast the attention is beside the reference; from the check alone when no curve was measured."""
    speed = report.speed
    if speed is None or not speed.lengths:
        check = next((check for check in report.checks if check.id == SLOWDOWN_CHECK), None)
        known = check is not None and {"slowdown", "tokens"} <= check.evidence.keys()
        return "" if check is None or not known else _times(check.evidence["slowdown"], check.evidence["tokens"])
    usual = representative_length(speed.lengths)
    words = _times(usual.slowdown, usual.tokens)
    if speed.student_growth is not None and speed.reference_growth is not None:
        growth, reference = float(speed.student_growth), float(speed.reference_growth)
        words += f", grows as tokens^{growth:.1f} (the reference as tokens^{reference:.1f})"
    return f"{words}; {printable(speed.stopped)}" if speed.stopped else words


def representative_length(lengths: tuple[LengthTiming, ...]) -> LengthTiming:
    """The length that stands for all: the usual one, or the one nearest to it."""
    return min(lengths, key=lambda each: abs(each.tokens - DEFAULT_TOKENS))


def _times(slowdown: object, tokens: object) -> str:
    factor = float(str(slowdown))
    written = f"{factor:.2g}" if factor < 100 else f"{factor:,.0f}"
    return f"{written} times the reference's time on {tokens} tokens"


def format_timing(phases: Sequence[Phase]) -> str:
    """Where a run's time went, the longest part first; what took less than a hundredth of a second is left out."""
    parts = sorted(phases, key=lambda phase: -phase.seconds)
    listed = ", ".join(f"{part.name} {part.seconds:.2f}" for part in parts if part.seconds >= 0.01)
    return f"{sum(part.seconds for part in phases):.1f} s ({listed})"


def points(value: float) -> str:
    """Points as they are written: one decimal, none when it is zero."""
    return f"{value:.1f}".removesuffix(".0")


def _lines(text: str) -> str:
    """Several lines, each made printable; a hint may hold a few lines of code."""
    return "\n".join(printable(line) for line in text.splitlines())
