"""One report made ready to be assessed: read, checked, with its source, and a place to write to."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from pytest_attn_grader import __version__
from pytest_attn_grader.cli.assess.answer import bounded_criteria, bounded_points, bounded_summary
from pytest_attn_grader.cli.assess.numbered_source import render_excerpt
from pytest_attn_grader.cli.assess.prompt import PROMPT_VERSION, Request, build_request
from pytest_attn_grader.cli.assess.retries import AcceptedAnswer
from pytest_attn_grader.cli.assess.source import find_source
from pytest_attn_grader.errors import UngradableError, UsageError
from pytest_attn_grader.reports.json_report import parse_report
from pytest_attn_grader.results.assessment import (
    AssessedSource,
    Assessment,
    assessment_path,
    is_assessment,
    load_assessment,
)
from pytest_attn_grader.results.report import GradeReport


@dataclass(frozen=True)
class Prepared:
    """What is asked about one report, and what the answer is stored with."""

    path: Path
    report: GradeReport
    report_sha256: str
    source: AssessedSource | None
    source_note: str
    request: Request

    @property
    def target(self) -> Path:
        return assessment_path(self.path)

    def is_done(self, model: str) -> bool:
        """Whether the same model has assessed the same report with the same source and instructions."""
        there = load_assessment(self.target)
        return there is not None and (
            (there.report_sha256, there.source, there.model, there.prompt_version)
            == (self.report_sha256, self.source, model, PROMPT_VERSION)
        )

    def check_target(self) -> None:
        """Find out before anything is asked, and paid for, whether the answer can be kept.

        Raises:
            UsageError: it cannot.
        """
        if self.target.exists() and not is_assessment(self.target):
            raise UsageError(f"{self.target} is there and is no assessment; it is left as it is. Move it away.")
        try:
            tempfile.TemporaryFile(dir=self.path.parent).close()
        except OSError as error:
            raise UsageError(unwritable(self.path, error)) from error

    def finish(self, asked: AcceptedAnswer, model: str) -> Assessment:
        """The assessment: the model's words, held to what the checks said; verdict and points of the report."""
        return Assessment(
            created=datetime.now(timezone.utc).replace(microsecond=0),
            grader_version=__version__,
            model=model,
            model_answered=asked.completion.model,
            prompt_version=PROMPT_VERSION,
            answer_format=asked.answer_format,
            tries=asked.tries,
            usage=asked.completion.usage,
            report_sha256=self.report_sha256,
            source=self.source,
            source_note=self.source_note,
            verdict="passed" if self.report.verdict == "passed" else "failed",
            earned=self.report.score.earned,
            possible=self.report.score.possible,
            summary=bounded_summary(asked.answer),
            criteria=bounded_criteria(asked.answer, self.request.evaluation),
            strengths=bounded_points(asked.answer.strengths),
            next_steps=bounded_points(asked.answer.next_steps),
        )


def unwritable(report: Path, error: OSError) -> str:
    return (
        f"{assessment_path(report)} cannot be written ({error.strerror}). The assessment goes beside the report: copy "
        "the report to a folder of yours."
    )


def prepare(path: Path, *, named_source: Path | None, with_source: bool) -> Prepared:
    """Read a report and find its source.

    Raises:
        UsageError: it is no report with an evaluation, or `--source` names nothing.
        UngradableError: there is no verdict that could be put into words.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}).") from error
    report = parse_report(content, path)
    if report.verdict == "ungradable":
        raise UngradableError(f"{path} has no verdict to assess ({report.reason}). Grade the submission again.")
    if report.evaluation is None or not report.evaluation.criteria:
        raise UsageError(f"{path} holds no evaluation. Grade the submission again, with this version.")
    source, note = None, "--no-source was given"
    if with_source:
        source, note = find_source(report.student, path, named_source)
    excerpt = None if source is None else render_excerpt(source.files)
    return Prepared(
        path=path,
        report=report,
        report_sha256=hashlib.sha256(content).hexdigest(),
        source=None if source is None or excerpt is None else source.as_shown(excerpt.characters, excerpt.shown),
        source_note=note,
        request=build_request(report.evaluation, None if excerpt is None else excerpt.text),
    )
