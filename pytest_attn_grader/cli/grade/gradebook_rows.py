"""The rows of a gradebook: the members of a class with their reports, and what an instructor should look at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pytest_attn_grader.cli.grade.class_list import read_class_list
from pytest_attn_grader.cli.grade.grade import PAGES, REPORTS
from pytest_attn_grader.cli.grade.identifiers import natural_key
from pytest_attn_grader.cli.grade.submissions import ClassSubmission
from pytest_attn_grader.errors import UsageError
from pytest_attn_grader.reports.json_report import load_report
from pytest_attn_grader.results.assessment import is_assessment
from pytest_attn_grader.results.report import GradeReport

# Failures of ordinary mistakes; the others may be attacks on the grader.
_ORDINARY_FAILURES = frozenset({"raised", "import-error", "no-target"})


@dataclass(frozen=True)
class GradebookRow:
    """One row of the gradebook.

    Attributes:
        report: None when there is none; `flags` says why.
        flags: why an instructor should look at the submission; none of it is a verdict.
        notes: other facts, such as a late submission.
        page: the path of its page from the folder of the gradebook; None when there is none.
    """

    id: str
    report: GradeReport | None
    flags: tuple[str, ...]
    page: str | None
    student: str = ""
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        return "ungradable" if self.report is None else self.report.verdict

    @property
    def share(self) -> float | None:
        """Points earned as a share of 1; None without a verdict."""
        if self.report is None or self.report.verdict == "ungradable" or not self.report.score.possible:
            return None
        return self.report.score.earned / self.report.score.possible

    @property
    def mistakes(self) -> tuple[str, ...]:
        """The slugs of the diagnosis."""
        found = None if self.report is None else self.report.diagnosis
        return () if found is None else found.slugs

    @property
    def adaptations(self) -> tuple[str, ...]:
        """The names of what was adapted so that the submission fits."""
        return () if self.report is None else tuple(each.name for each in self.report.student.adaptations)

    @property
    def seconds(self) -> float:
        """The seconds that the run took."""
        return 0.0 if self.report is None else sum(phase.seconds for phase in self.report.timing)


def read_class(folder: Path) -> list[GradebookRow]:
    """A row for every member of the class list, or for every report where there is no list; in natural order of ids."""
    class_list = read_class_list(folder)
    if class_list is not None:
        members = list(class_list.members)
    else:
        # Assessments are beside the reports they are about.
        files = [file for file in (folder / REPORTS).glob("*.json") if not is_assessment(file)]
        members = [ClassSubmission(file.stem, file_stem=file.stem) for file in files]
    if not members:
        raise UsageError(f"{folder} holds no {REPORTS}/*.json. Make them with: attn-grader grade … --out {folder}")
    return [_read_row(member, folder) for member in sorted(members, key=lambda each: natural_key(each.id))]


def _read_row(member: ClassSubmission, folder: Path) -> GradebookRow:
    if member.problem:
        flags = (f"ungradable: {member.problem}",)
        return GradebookRow(member.id, None, flags, None, member.student, member.notes)
    page = f"{PAGES}/{member.file_stem}.html"
    linked = page if (folder / page).is_file() else None
    report_file = folder / REPORTS / f"{member.file_stem}.json"
    if not report_file.exists():
        return GradebookRow(member.id, None, ("not graded yet",), linked, member.student, member.notes)
    try:
        report = load_report(report_file)
    except UsageError as error:
        return GradebookRow(member.id, None, (f"unreadable report: {error}",), linked, member.student, member.notes)
    return GradebookRow(member.id, report, tuple(_flags(report)), linked, member.student, member.notes)


def _flags(report: GradeReport) -> Iterable[str]:
    if report.verdict == "ungradable":
        yield f"ungradable: {report.reason}"
    for name, times in sorted(report.student.library_calls.items()):
        yield f"calls {name} ({times} times)"
    failures = {check.failure.name for check in report.checks if check.failure is not None}
    yield from sorted(failures - _ORDINARY_FAILURES)
    if report.verdict != "failed" or report.settings.get("hints") in {"none", "nudge"}:
        return  # Without a verdict or with fewer hints, no mistake is named.
    if report.diagnosis is not None and report.diagnosis.unexplained:
        yield "the named mistakes do not explain everything"
    elif not failures and (report.diagnosis is None or not report.diagnosis.slugs):
        yield "no known mistake"
