"""The gradebook of a class: a CSV to import, and a page to look at. Both are views of the reports in a folder."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pytest_attn_grader.cli.grade.grade import PAGES, REPORTS
from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.reports.atomic_write import write_text_atomically
from pytest_attn_grader.reports.escaping import escape_unprintable
from pytest_attn_grader.reports.json_report import load_report
from pytest_attn_grader.results.assessment import is_assessment
from pytest_attn_grader.results.report import CATEGORIES, GradeReport

CSV_FILE, PAGE_FILE = "gradebook.csv", "gradebook.html"
TEMPLATES = Path(__file__).parent / "templates"
# Evidence that is a number of the submission's own making: two that share all of them to six digits behave alike.
FINGERPRINT = ("output_error", "weights_error")
FINGERPRINT_DIGITS = 6
SLOWEST = 5
# A spreadsheet takes a cell that begins like this for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Row:
    """One student's line.

    Attributes:
        report: None when the file cannot be read; `flags` says so.
        page: where the page is, from the folder of the gradebook; None when there is none.
    """

    id: str
    report: GradeReport | None
    flags: tuple[str, ...]
    page: str | None

    @property
    def verdict(self) -> str:
        return "ungradable" if self.report is None else self.report.verdict

    @property
    def share(self) -> float | None:
        """Points earned as a share of 1; None when there is no verdict."""
        if self.report is None or self.report.verdict == "ungradable" or not self.report.score.possible:
            return None
        return self.report.score.earned / self.report.score.possible

    @property
    def mistakes(self) -> tuple[str, ...]:
        found = None if self.report is None else self.report.diagnosis
        return () if found is None else found.slugs

    @property
    def seconds(self) -> float:
        return 0.0 if self.report is None else sum(phase.seconds for phase in self.report.timing)


def read_class(folder: Path) -> list[Row]:
    """Every report below the folder, by id.

    Raises:
        UsageError: there is none.
    """
    # Assessments lie beside the reports they are about.
    files = [file for file in sorted((folder / REPORTS).glob("*.json")) if not is_assessment(file)]
    if not files:
        raise UsageError(f"{folder} holds no {REPORTS}/*.json. Make them with: attn-grader grade … --out {folder}")
    return [_read_row(file, folder) for file in files]


def _read_row(file: Path, folder: Path) -> Row:
    page = f"{PAGES}/{file.stem}.html"
    linked = page if (folder / page).is_file() else None
    try:
        report = load_report(file)
    except UsageError as error:
        return Row(file.stem, None, (f"unreadable report: {error}",), linked)
    return Row(file.stem, report, tuple(_flags(report)), linked)


def _flags(report: GradeReport) -> Iterable[str]:
    """What a human should look at; none of it is a verdict."""
    if report.verdict == "ungradable":
        yield f"ungradable: {report.reason}"
    for name, times in sorted(report.student.library_calls.items()):
        yield f"calls {name} ({times} times)"
    failures = {check.failure.name for check in report.checks if check.failure is not None}
    yield from sorted(failures - {"raised", "import-error", "no-target"})


def write_gradebook(folder: Path) -> list[Row]:
    """Write the CSV and the page beside the reports.

    Raises:
        UsageError: there are no reports.
        OSError: the folder cannot be written.
    """
    rows = read_class(folder)
    write_text_atomically(folder / CSV_FILE, render_csv(rows))
    write_text_atomically(folder / PAGE_FILE, render_overview(rows))
    return rows


def render_csv(rows: Sequence[Row]) -> str:
    """One row a student; a missing score is empty, never 0."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")  # RFC 4180
    writer.writerow(["id", "verdict", "earned", "possible", *CATEGORIES, "diagnosis", "flags", "seconds"])
    for row in rows:
        scores = {} if row.report is None or row.share is None else row.report.score.by_category
        known = row.report is not None and row.share is not None
        writer.writerow(
            [
                _cell(row.id),
                row.verdict,
                _points(row.report.score.earned) if row.report is not None and known else "",
                _points(row.report.score.possible) if row.report is not None and known else "",
                *(_points(scores[name].earned) if name in scores else "" for name in CATEGORIES),
                _cell(" ".join(row.mistakes)),
                _cell("; ".join(row.flags)),
                f"{row.seconds:.2f}",
            ]
        )
    return out.getvalue()


def _points(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _cell(text: str) -> str:
    """A student's words as a spreadsheet may have them: one line, and no formula."""
    plain = " ".join(escape_unprintable(text).split())
    return f"'{plain}" if plain.startswith(_FORMULA) else plain


def look_alikes(rows: Sequence[Row]) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Wrong submissions whose errors are the same on the same inputs: their ids, and the mistakes that have a name.

    A common mistake makes the same numbers for everybody, so groups without a name come first. It is a pointer for a
    human, never a verdict.
    """
    groups: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in rows:
        fingerprint = _fingerprint(row)
        if fingerprint is not None:
            groups[fingerprint].append(row)
    found = [
        (tuple(row.id for row in group), tuple(dict.fromkeys(slug for row in group for slug in row.mistakes)))
        for group in groups.values()
        if len(group) > 1
    ]
    return sorted(found, key=lambda each: (bool(each[1]), each[0]))


def _fingerprint(row: Row) -> tuple[object, ...] | None:
    """The errors of every check that failed with one, and the seeds they belong to; None when there are too few."""
    if row.report is None or row.report.verdict != "failed":
        return None
    numbers = tuple(
        (check.id, name, f"{value:.{FINGERPRINT_DIGITS - 1}e}")
        for check in row.report.checks
        if check.outcome == "failed"
        for name in FINGERPRINT
        if isinstance(value := check.evidence.get(name), float)
    )
    return (*sorted(row.report.seeds.items()), *numbers) if numbers else None


def render_overview(rows: Sequence[Row]) -> str:
    """The page: how the class did, which mistakes are common, what needs a human, and a line for each."""
    shares = [row.share for row in rows if row.share is not None]
    bins = Counter(min(int(share * 10), 9) for share in shares)
    mistakes: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        for slug in row.mistakes:
            mistakes[slug].append(row)
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: escape_unprintable(value) if type(value) is str else value,
    )
    return environment.get_template("gradebook.html.j2").render(
        rows=rows,
        by_id={row.id: row for row in rows},
        verdicts=Counter(row.verdict for row in rows),
        median=median(shares) if shares else None,
        bins=[bins[number] for number in range(10)],
        mistakes=sorted(mistakes.items(), key=lambda each: (-len(each[1]), each[0])),
        slowest=sorted(rows, key=lambda row: -row.seconds)[:SLOWEST],
        alike=look_alikes(rows),
        ungradable=[row for row in rows if row.verdict == "ungradable"],
    )
