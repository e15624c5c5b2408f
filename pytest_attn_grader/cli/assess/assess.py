"""Assess reports with a language model: one request and one line of output for each report."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import typer

from pytest_attn_grader.cli.assess.client import Endpoint, RefusedError, RequestLimits
from pytest_attn_grader.cli.assess.inputs import load_input
from pytest_attn_grader.cli.assess.prompt import ANSWER_FORMATS
from pytest_attn_grader.cli.error_exit import EXIT_INTERRUPTED, EXIT_USAGE
from pytest_attn_grader.errors import EXIT_UNGRADABLE, UngradableError, UsageError
from pytest_attn_grader.reports.atomic_write import write_text_atomically
from pytest_attn_grader.reports.escaping import for_log, for_terminal
from pytest_attn_grader.results.assessment import Assessment, is_assessment
from pytest_attn_grader.results.report import Level

_MAX_SHOWN = 1000
_SHOWN_LEVELS: tuple[Level, ...] = ("met", "partly", "not-met", "not-assessed")


@dataclass(frozen=True)
class AssessOptions:
    """The options of the command."""

    model: str = ""
    source: Path | None = None
    with_source: bool = True
    again: bool = False
    parallel: int = 1
    limits: RequestLimits = field(default_factory=RequestLimits)


@dataclass
class AssessmentProgress:
    """Count finished reports, print one line for each, and keep the exit code."""

    done: int = 0
    exit_code: int = 0

    def print(self, line: str, *, is_error: bool = False) -> None:
        """Print a line; it may hold file names and text from the endpoint."""
        typer.echo(for_log(for_terminal(line, _MAX_SHOWN)), err=is_error)

    def print_error(self, line: str) -> None:
        self.print(line, is_error=True)

    def record_failure(self, line: str, exit_code: int) -> None:
        """Print why a report has no assessment. Exit code 2 (usage) takes precedence over 10."""
        self.print_error(line)
        self.exit_code = EXIT_USAGE if EXIT_USAGE in (exit_code, self.exit_code) else exit_code


def assess_reports(reports: Sequence[Path], options: AssessOptions, *, dry_run: bool) -> int:
    """Assess every report, or only print the requests, and return the exit code.

    Returns:
        0; 2 when a report, its source or its folder cannot be used; 10 when a report has no verdict or the model gave
        no answer; 130 after an interrupt.
    """
    if options.source is not None and not options.source.is_dir() and len(reports) > 1:
        raise UsageError("--source names one file, and there are several reports. Name the folder of the submissions.")
    paths = [path for path in dict.fromkeys(reports) if not is_assessment(path)]
    progress = AssessmentProgress()
    if len(paths) < len(set(reports)):
        progress.print_error(f"skipped, because they are assessments: {len(set(reports)) - len(paths)}")
    if dry_run:
        for path in paths:
            _print_request(path, options, progress)
        return progress.exit_code
    try:
        asyncio.run(_assess_all(paths, options, Endpoint(options.limits), progress))
    except KeyboardInterrupt:
        progress.print_error(f"interrupted after {progress.done} of {len(paths)}; run the same command to continue")
        return EXIT_INTERRUPTED
    return progress.exit_code


def _print_request(path: Path, options: AssessOptions, progress: AssessmentProgress) -> None:
    try:
        inputs = load_input(path, named_source=options.source, with_source=options.with_source)
    except (UsageError, UngradableError) as error:
        progress.record_failure(str(error), EXIT_USAGE if isinstance(error, UsageError) else EXIT_UNGRADABLE)
        return
    if inputs.source_note:
        progress.print_error(f"{path}: {inputs.source_note}")
    typer.echo(json.dumps(inputs.request.payload(options.model or None, ANSWER_FORMATS[0]), indent=1))


async def _assess_all(
    paths: Sequence[Path], options: AssessOptions, endpoint: Endpoint, progress: AssessmentProgress
) -> None:
    """Assess all reports, `parallel` at a time; stop sending after a failure that all reports share."""
    room = asyncio.Semaphore(options.parallel)
    refused = False

    async def assess_path(path: Path) -> None:
        nonlocal refused
        async with room:
            if refused:
                progress.record_failure(f"{path}: not sent", EXIT_UNGRADABLE)
                return
            try:
                await _assess_one(path, options, endpoint, progress)
            except UsageError as error:
                progress.record_failure(str(error), EXIT_USAGE)
            except UngradableError as error:
                progress.record_failure(f"{path}: {error}", EXIT_UNGRADABLE)
            except RefusedError as error:
                refused = error.for_all
                remedy = "Check OPENAI_API_KEY, OPENAI_BASE_URL and --llm-model"
                progress.record_failure(f"{path}: the endpoint refused, {error}. {remedy}", EXIT_UNGRADABLE)

    async with endpoint:
        await asyncio.gather(*(assess_path(path) for path in paths))


async def _assess_one(path: Path, options: AssessOptions, endpoint: Endpoint, progress: AssessmentProgress) -> None:
    inputs = load_input(path, named_source=options.source, with_source=options.with_source)
    if not options.again and inputs.is_done(options.model):
        progress.done += 1
        progress.print(f"{path}: assessed already (--again repeats it)")
        return
    inputs.check_target()
    if inputs.source_note:
        progress.print_error(f"{path}: {inputs.source_note}")
    assessment = inputs.build_assessment(await endpoint.request_answer(inputs.request, options.model), options.model)
    try:
        write_text_atomically(inputs.target, assessment.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise UsageError(
            f"{inputs.target} cannot be written ({error.strerror}). The assessment is written beside the report: copy "
            "the report to a folder that you can write to."
        ) from error
    progress.done += 1
    progress.print(f"{path}: {_format_levels(assessment)}; in {inputs.target.name}")


def _format_levels(assessment: Assessment) -> str:
    levels = [criterion.level for criterion in assessment.criteria]
    counts = ", ".join(f"{levels.count(level)} {level}" for level in _SHOWN_LEVELS if level in levels)
    lowered = sum(criterion.claimed_level is not None for criterion in assessment.criteria)
    return f"{counts}, by {assessment.model}" + (f"; {lowered} claimed above the checks and lowered" if lowered else "")
