"""Load the inputs of an assessment: the report, its source and the request."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from pytest_attn_grader import __version__
from pytest_attn_grader.cli.assess.answer import bounded_criteria, bounded_list, sanitize
from pytest_attn_grader.cli.assess.client import AcceptedAnswer
from pytest_attn_grader.cli.assess.numbered_source import render_excerpt
from pytest_attn_grader.cli.assess.prompt import PROMPT_VERSION, Request, build_request
from pytest_attn_grader.cli.assess.source import find_source
from pytest_attn_grader.errors import UngradableError, UsageError
from pytest_attn_grader.reports.json_report import parse_report
from pytest_attn_grader.results.assessment import (
    MAX_SUMMARY_CHARS,
    AssessedSource,
    Assessment,
    assessment_path,
    is_assessment,
    load_assessment,
)
from pytest_attn_grader.results.report import GradeReport


@dataclass(frozen=True)
class AssessmentInput:
    """The report, source and request of one assessment."""

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
        """Refuse to overwrite another file, before a request is paid for."""
        if self.target.exists() and not is_assessment(self.target):
            raise UsageError(f"{self.target} exists and is not an assessment. It is not overwritten: move it away.")

    def build_assessment(self, accepted: AcceptedAnswer, model: str) -> Assessment:
        """Build the assessment: feedback from the model; levels, verdict and points limited to the report's."""
        return Assessment(
            created=datetime.now(timezone.utc).replace(microsecond=0),
            grader_version=__version__,
            model=model,
            model_answered=accepted.model,
            prompt_version=PROMPT_VERSION,
            answer_format="json_schema" if accepted.answer_format == "bounded_json_schema" else accepted.answer_format,
            tries=accepted.tries,
            usage=accepted.usage,
            report_sha256=self.report_sha256,
            source=self.source,
            source_note=self.source_note,
            verdict="passed" if self.report.verdict == "passed" else "failed",
            earned=self.report.score.earned,
            possible=self.report.score.possible,
            summary=sanitize(accepted.answer.summary, MAX_SUMMARY_CHARS),
            criteria=bounded_criteria(accepted.answer, self.request.evaluation),
            strengths=bounded_list(accepted.answer.strengths),
            next_steps=bounded_list(accepted.answer.next_steps),
        )


def load_input(path: Path, *, named_source: Path | None, with_source: bool) -> AssessmentInput:
    """Read a report and find its source."""
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
    return AssessmentInput(
        path=path,
        report=report,
        report_sha256=hashlib.sha256(content).hexdigest(),
        source=None if source is None or excerpt is None else source.as_assessed(excerpt.characters, excerpt.shown),
        source_note=note,
        request=build_request(report.evaluation, None if excerpt is None else excerpt.text),
    )
