"""Build the terminal summary as data; `terminal` and `rich_summary` render it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_attn_grader.reports.escaping import for_log
from pytest_attn_grader.reports.escaping import for_terminal as printable
from pytest_attn_grader.reports.formatting import list_explanations
from pytest_attn_grader.results.comparison import LengthTiming
from pytest_attn_grader.results.report import CheckResult, GradeReport, Phase
from pytest_attn_grader.settings.settings import Settings

COLOURS = {"passed": "green", "failed": "red", "ungradable": "yellow"}  # of a terminal, by the verdict
DEFAULT_TOKENS = 64
# Every module is constructed, and weights that a submission keeps to itself are no detour.
_USUAL_ADAPTATIONS = frozenset({"constructed", "chosen", "weights-recovered"})
MAX_ADAPTED_CHARS = 240
SLOWDOWN_CHECK = "budget.slowdown"


@dataclass(frozen=True)
class Line:
    """A labelled statement; its text can have several lines."""

    label: str
    text: str


@dataclass(frozen=True)
class CategoryPoints:
    """Points of one category.

    Attributes:
        not_run: the number of its checks that were not run, because a check that they need failed.
        not_run_points: what those checks are worth.
    """

    category: str
    earned: float
    possible: float
    not_run: int = 0
    not_run_points: float = 0.0

    @property
    def is_not_run(self) -> bool:
        """Whether none of its checks was run."""
        return self.not_run_points == self.possible

    @property
    def not_run_in_words(self) -> str:
        """Empty when all checks were run."""
        return "" if not self.not_run else "not run" if self.is_not_run else f"{self.not_run} not run"

    def split_bar(self, width: int) -> tuple[int, int, int]:
        """Divide a bar into the parts earned, lost, and not run; a part that was not run has at least one character."""
        earned = round(width * self.earned / self.possible)
        not_run = round(width * self.not_run_points / self.possible)
        not_run = min(width - earned, max(not_run, int(self.not_run > 0)))
        return earned, width - earned - not_run, not_run


@dataclass(frozen=True)
class Summary:
    """The summary of a run, the most useful part last: a terminal shows the end of what was written.

    Attributes:
        notes: checks that were not run, the graded function, the model, the speed, and a fallback model.
        highlights: what is wrong, how to mend it and where to read more.
        output_files: kind and path of each written file.
    """

    verdict: str
    rows: tuple[CategoryPoints, ...]
    notes: tuple[Line, ...]
    headline: str
    highlights: tuple[Line, ...]
    output_files: tuple[tuple[str, Path], ...]


def summarize(report: GradeReport, settings: Settings, *, verbose: bool = False) -> Summary:
    """Build the summary of a run. Text of the submission is made printable."""
    output_files = (("report", settings.report), ("page", settings.html), ("pictures", settings.plots))
    return Summary(
        verdict=report.verdict,
        rows=category_points(report),
        notes=tuple(_notes(report, verbose=verbose)),
        headline=_headline(report),
        highlights=tuple(_highlights(report)),
        output_files=tuple((what, path) for what, path in output_files if path is not None and path.exists()),
    )


def category_points(report: GradeReport) -> tuple[CategoryPoints, ...]:
    """Return the categories that are worth points."""
    found = []
    for category, score in report.score.by_category.items():
        if score.possible:
            worth = [c.points_possible for c in report.checks if c.category == category and c.outcome == "skipped"]
            found.append(CategoryPoints(category, score.earned, score.possible, len(worth), round(sum(worth), 6)))
    return tuple(found)


def _headline(report: GradeReport) -> str:
    if report.verdict == "ungradable":
        return f"UNGRADABLE: {printable(report.reason)}"
    score = report.score
    reason = f": {report.reason}" if report.reason else ""
    return f"{report.verdict.upper()}  {points(score.earned)} of {points(score.possible)} points{reason}"


def _highlights(report: GradeReport) -> Iterator[Line]:
    """Yield the named mistake, or else the first failure; checks are ordered so that the first explains the others."""
    first = next((check for check in report.checks if check.outcome == "failed"), None)
    if report.diagnosis is not None:
        yield Line("diagnosis", printable(report.diagnosis.message))
        if report.diagnosis.hint:
            yield Line("hint", _lines(report.diagnosis.hint))
        elif first is not None:
            yield from list(_failure(first))[1:]
        explanations = list_explanations(report)
        if explanations:
            yield Line("more", "\n".join(printable(each) for each in explanations))
    elif first is not None:
        yield from _failure(first)
    if report.verdict == "ungradable" and report.score.possible == 0:
        yield Line("", "The run has no verdict: no points were given or taken.")


def _failure(check: CheckResult) -> Iterator[Line]:
    yield Line("first failure", printable(check.title))
    yield Line("actual", f"{printable(check.actual)} (expected: {printable(check.expected)})")
    if check.hint:
        yield Line("hint", printable(check.hint))


def _notes(report: GradeReport, *, verbose: bool) -> Iterator[Line]:
    not_run = format_not_run(report)
    if not_run:
        yield Line("not run", not_run)
    yield Line("graded", _subject(report))
    adapted = format_adaptations(report)
    if adapted:
        yield Line("adapted", adapted)
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


def format_not_run(report: GradeReport) -> str:
    """Count the checks that were not run, by the reason; empty when all were."""
    reasons = Counter(check.message for check in report.checks if check.outcome == "skipped")
    return ", ".join(
        f"{count} {'check' if count == 1 else 'checks'} ({printable(reason)})"
        for reason, count in reasons.most_common()
    )


def format_adaptations(report: GradeReport) -> str:
    """Say in one line what was done so that the submission could be called; empty where it was called as it is."""
    needed = [each for each in report.student.adaptations if each.name not in _USUAL_ADAPTATIONS]
    text = printable("; ".join(f"{each.name} ({each.why.partition('. ')[0]})" for each in needed))
    return text if len(text) <= MAX_ADAPTED_CHARS else f"{text[: MAX_ADAPTED_CHARS - 1]}…"


def format_speed(report: GradeReport) -> str:
    """Compare the attention's speed to the reference's; without a measured curve the check's numbers are used."""
    speed = report.speed
    if speed is None or not speed.lengths:
        check = next((check for check in report.checks if check.id == SLOWDOWN_CHECK), None)
        if check is None or not {"slowdown", "tokens"} <= check.evidence.keys():
            return ""
        return _times(report, check.evidence["slowdown"], check.evidence["tokens"])
    shown = representative_length(speed.lengths)
    text = _times(report, shown.slowdown, shown.tokens)
    return f"{text}; {printable(speed.stopped)}" if speed.stopped else text


def representative_length(lengths: tuple[LengthTiming, ...]) -> LengthTiming:
    """Return the timing whose length is nearest to `DEFAULT_TOKENS`."""
    return min(lengths, key=lambda each: abs(each.tokens - DEFAULT_TOKENS))


def _times(report: GradeReport, slowdown: object, tokens: object) -> str:
    factor = float(str(slowdown))
    written = f"{factor:.2g}" if factor < 100 else f"{factor:,.0f}"
    # the reference is timed on projected states: what a module projects comes on top
    projects = report.student.kind not in {None, "function"}
    return f"{written} times the reference's time on {tokens} tokens" + (", with its projections" if projects else "")


def format_timing(phases: Sequence[Phase]) -> str:
    """List the phases, the longest first; phases below 0.01 s are left out."""
    parts = sorted(phases, key=lambda phase: -phase.seconds)
    listed = ", ".join(f"{part.name} {part.seconds:.2f}" for part in parts if part.seconds >= 0.01)
    return f"{sum(part.seconds for part in phases):.1f} s ({listed})"


def points(value: float) -> str:
    """Format points with one decimal, or none when it is zero."""
    return f"{value:.1f}".removesuffix(".0")


def _lines(text: str) -> str:
    """Make each line printable; a hint can have lines of code."""
    return "\n".join(for_log(printable(line)) for line in text.splitlines())
