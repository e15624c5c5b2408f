"""`attn-grader assess`: what is typed, one line for each report, and the exit code."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pytest_attn_grader.cli.assess.client import Endpoint, PermanentError
from pytest_attn_grader.cli.assess.inputs import Prepared, prepare, unwritable
from pytest_attn_grader.cli.assess.prompt import ANSWER_FORMATS
from pytest_attn_grader.cli.assess.retries import Limits, ask
from pytest_attn_grader.errors import EXIT_UNGRADABLE, UngradableError, UsageError
from pytest_attn_grader.reports.atomic_write import write_text_atomically
from pytest_attn_grader.reports.escaping import for_log, for_terminal
from pytest_attn_grader.results.assessment import Assessment, is_assessment
from pytest_attn_grader.results.report import Level

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
MODEL_VARIABLE = "ATTN_LLM_MODEL"
_MOST_SHOWN = 1000
_SHOWN_LEVELS: tuple[Level, ...] = ("met", "partly", "not-met", "not-assessed")


@dataclass(frozen=True)
class AssessOptions:
    """What was typed.

    Attributes:
        source: what `--source` names; None looks where each report says.
        again: ask also about what has been assessed in the same way.
        parallel: reports at a time.
    """

    model: str | None = None
    source: Path | None = None
    with_source: bool = True
    again: bool = False
    parallel: int = 1
    limits: Limits = field(default_factory=Limits)


@dataclass
class Tally:
    """What came of the reports so far, and how it is said."""

    write_line: Callable[[str], None]
    write_error: Callable[[str], None]
    done: int = 0
    exit_code: int = 0

    def say(self, line: str) -> None:
        self.write_line(_shown(line))

    def note(self, line: str) -> None:
        self.write_error(_shown(line))

    def failed(self, line: str, exit_code: int) -> None:
        """One report has no assessment; what can be typed otherwise comes before what cannot."""
        self.note(line)
        self.exit_code = EXIT_USAGE if EXIT_USAGE in (exit_code, self.exit_code) else exit_code


def _shown(line: str) -> str:
    """Names of files and an endpoint's words are in these lines."""
    return for_log(for_terminal(line, _MOST_SHOWN))


def assess(
    reports: Sequence[Path],
    wanted: AssessOptions,
    *,
    dry_run: bool,
    write_line: Callable[[str], None],
    write_error: Callable[[str], None],
) -> int:
    """Assess every report, and return the exit code.

    Args:
        dry_run: print what would be sent, and send nothing.
        write_line, write_error: where one line goes, results and everything else.

    Returns:
        0; 2 when a report, its source or its folder cannot be used; 10 when there was no verdict or no answer; 130.

    Raises:
        UsageError: nothing can be asked as it was typed.
    """
    if wanted.source is not None and not wanted.source.is_dir() and len(reports) > 1:
        raise UsageError("--source names one file, and there are several reports. Name the folder of the submissions.")
    paths = [path for path in dict.fromkeys(reports) if not is_assessment(path)]
    tally = Tally(write_line, write_error)
    if len(paths) < len(set(reports)):
        tally.note(f"left out, because they are assessments: {len(set(reports)) - len(paths)}")
    if dry_run:
        for path in paths:
            _print_request(path, wanted, tally, write_line)
        return tally.exit_code
    if not wanted.model or not wanted.model.isprintable():
        raise UsageError(f"Which model is to assess? Name it by --llm-model, or in {MODEL_VARIABLE}.")
    try:
        asyncio.run(_assess_all(paths, wanted, wanted.model, Endpoint(), tally))
    except KeyboardInterrupt:
        tally.note(f"interrupted after {tally.done} of {len(paths)}; the same command goes on from there")
        return EXIT_INTERRUPTED
    return tally.exit_code


def _print_request(path: Path, wanted: AssessOptions, tally: Tally, write_line: Callable[[str], None]) -> None:
    try:
        prepared = prepare(path, named_source=wanted.source, with_source=wanted.with_source)
    except (UsageError, UngradableError) as error:
        tally.failed(str(error), EXIT_USAGE if isinstance(error, UsageError) else EXIT_UNGRADABLE)
        return
    if prepared.source_note:
        tally.note(f"{path}: {prepared.source_note}")
    write_line(json.dumps(prepared.request.payload(wanted.model, ANSWER_FORMATS[0]), indent=1))


async def _assess_all(
    paths: Sequence[Path], wanted: AssessOptions, model: str, endpoint: Endpoint, tally: Tally
) -> None:
    """All of them, some at a time; once the endpoint has refused for all, the others are not sent."""
    room = asyncio.Semaphore(wanted.parallel)
    refused = False

    async def one(path: Path) -> None:
        nonlocal refused
        async with room:
            if refused:
                tally.failed(f"{path}: not sent", EXIT_UNGRADABLE)
                return
            try:
                await _assess_one(path, wanted, model, endpoint, tally)
            except UsageError as error:
                tally.failed(str(error), EXIT_USAGE)
            except UngradableError as error:
                tally.failed(f"{path}: {error}", EXIT_UNGRADABLE)
            except PermanentError as error:
                refused = error.for_all
                remedy = "Check OPENAI_API_KEY, OPENAI_BASE_URL and --llm-model"
                tally.failed(f"{path}: the endpoint refused, {error}. {remedy}", EXIT_UNGRADABLE)

    async with endpoint:
        await asyncio.gather(*(one(path) for path in paths))


async def _assess_one(path: Path, wanted: AssessOptions, model: str, endpoint: Endpoint, tally: Tally) -> None:
    prepared = prepare(path, named_source=wanted.source, with_source=wanted.with_source)
    if not wanted.again and prepared.is_done(model):
        tally.done += 1
        tally.say(f"{path}: assessed already (--again asks anew)")
        return
    prepared.check_target()
    if prepared.source_note:
        tally.note(f"{path}: {prepared.source_note}")
    assessment = prepared.finish(await ask(endpoint, prepared.request, model, wanted.limits), model)
    _write(assessment, prepared)
    tally.done += 1
    tally.say(f"{path}: {_said(assessment)}; in {prepared.target.name}")


def _write(assessment: Assessment, prepared: Prepared) -> None:
    try:
        write_text_atomically(prepared.target, assessment.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise UsageError(unwritable(prepared.path, error)) from error


def _said(assessment: Assessment) -> str:
    levels = [criterion.level for criterion in assessment.criteria]
    counts = ", ".join(f"{levels.count(level)} {level}" for level in _SHOWN_LEVELS if level in levels)
    lowered = sum(criterion.claimed_level is not None for criterion in assessment.criteria)
    return f"{counts}, by {assessment.model}" + (f"; {lowered} claimed above the checks and lowered" if lowered else "")
