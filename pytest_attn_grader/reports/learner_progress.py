"""Learner progress: a JSON file to which every graded run adds an attempt.

Status, best score and mistakes are derived from the attempts, so they cannot disagree with them. A lock serialises
concurrent runs, and the file is replaced atomically, so no attempt is lost.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, Field, NonNegativeFloat, PositiveInt, ValidationError

from pytest_attn_grader.reports.atomic_write import write_text_atomically
from pytest_attn_grader.reports.escaping import for_log, for_path
from pytest_attn_grader.results.base import FrozenModel
from pytest_attn_grader.results.report import GradeReport

PROGRESS_VERSION: Literal["1.0"] = "1.0"
LOCK_SECONDS = 20.0
MAX_CHARS = 300


class Attempt(FrozenModel):
    """One complete graded run with a verdict."""

    when: AwareDatetime
    verdict: Literal["passed", "failed"]
    earned: NonNegativeFloat
    possible: NonNegativeFloat
    failed_checks: tuple[str, ...] = ()
    diagnosis: tuple[str, ...] = ()
    student_sha256: str | None = None
    grader_version: str = ""

    @property
    def share(self) -> float:
        """Share of the possible points that was earned, from 0 to 1."""
        return round(self.earned / self.possible, 6) if self.possible else float(self.verdict == "passed")


class Mistake(FrozenModel):
    """Number of times that a named mistake was made."""

    times: PositiveInt
    last: AwareDatetime


class Lesson(FrozenModel):
    """Progress of a learner with one submission."""

    status: Literal["in-progress", "passed"]
    attempts: PositiveInt
    best_score: Annotated[float, Field(ge=0, le=1, description="the best share of the possible points")]
    best_attempt: PositiveInt = Field(description="the number of the attempt that first reached it, from 1")
    first: AwareDatetime
    last: AwareDatetime
    passed: AwareDatetime | None = Field(default=None, description="when it first passed")
    mistakes: dict[str, Mistake] = Field(default_factory=dict, description="by the slugs of `attn-grader explain`")
    history: Annotated[tuple[Attempt, ...], Field(min_length=1)]

    @classmethod
    def of(cls, history: Sequence[Attempt]) -> Lesson:
        """Derive the lesson from its attempts, the oldest first."""
        shares = [attempt.share for attempt in history]
        passed = [attempt.when for attempt in history if attempt.verdict == "passed"]
        mistakes: dict[str, Mistake] = {}
        for attempt in history:
            for slug in attempt.diagnosis:
                times = mistakes[slug].times + 1 if slug in mistakes else 1
                mistakes[slug] = Mistake(times=times, last=attempt.when)
        return cls(
            status="passed" if passed else "in-progress",
            attempts=len(history),
            best_score=max(shares),
            best_attempt=shares.index(max(shares)) + 1,
            first=history[0].when,
            last=history[-1].when,
            passed=passed[0] if passed else None,
            mistakes=mistakes,
            history=tuple(history),
        )


class Progress(FrozenModel):
    """The whole file: lessons by the name of the submission."""

    schema_version: Literal["1.0"] = PROGRESS_VERSION
    lessons: dict[str, Annotated[Lesson, AfterValidator(lambda read: Lesson.of(read.history))]] = Field(
        default_factory=dict
    )

    def with_attempt(self, lesson: str, attempt: Attempt) -> Progress:
        """Return the progress with one more attempt."""
        before = self.lessons[lesson].history if lesson in self.lessons else ()
        return Progress(lessons={**self.lessons, lesson: Lesson.of((*before, attempt))})


class ProgressError(Exception):
    """The progress could not be updated; the file is unchanged, and the message says why."""


def record(report: GradeReport, path: Path, *, whole: bool) -> str:
    """Add the attempt of this run and return a line for the terminal.

    Args:
        whole: every check was run. A run of some checks is practice: like an ungradable run, it is not an attempt.

    Raises:
        ProgressError: the file could not be read or written; it is unchanged.
    """
    if report.verdict == "ungradable" or not whole:
        why = "there was no verdict" if report.verdict == "ungradable" else "not every check was run"
        return f"progress: no attempt counted, {why}"
    from filelock import FileLock, Timeout

    shown = for_path(path)
    attempt, lesson = _attempt(report), lesson_name(report.student.target)
    try:
        with FileLock(path.with_name(f".{path.name}.lock"), timeout=LOCK_SECONDS):
            progress, note = _load(path, attempt.when)
            progress = progress.with_attempt(lesson, attempt)
            write_text_atomically(path, progress.model_dump_json(indent=1) + "\n")
    except Timeout as error:
        raise ProgressError(f"{shown} has been locked for {LOCK_SECONDS:g} s; this attempt was not added") from error
    except OSError as error:
        raise ProgressError(f"{shown} could not be updated ({error.strerror}); this attempt was not added") from error
    kept = progress.lessons[lesson]
    return f"progress: {for_log(lesson, MAX_CHARS)}, attempt {kept.attempts}, best {kept.best_score:.0%}{note}"


def lesson_name(target: str) -> str:
    """Return one name for `week1/mine.py`, `./week1/mine.py` and `week1.mine`; each function in a file has its name."""
    place, colon, name = target.replace("\\", "/").rpartition(":")
    if not colon or "/" in name:
        place, name = target.replace("\\", "/"), ""
    if place.endswith((".py", ".ipynb")) or "/" in place:
        # Of an absolute path only the last two names say which lesson it is.
        parts = [part for part in place.split("/") if part not in {"", ".", ".."}]
        parts = parts[-2:] if place.startswith("/") or ":" in place else parts
        place = ".".join(parts).removesuffix(".py").removesuffix(".ipynb")
    return f"{place}:{name}" if name else place


def _attempt(report: GradeReport) -> Attempt:
    return Attempt(
        when=datetime.now(timezone.utc).replace(microsecond=0),
        verdict="passed" if report.verdict == "passed" else "failed",
        earned=report.score.earned,
        possible=report.score.possible,
        failed_checks=tuple(check.id for check in report.checks if check.outcome == "failed"),
        diagnosis=() if report.diagnosis is None else report.diagnosis.slugs,
        student_sha256=report.student.sha256,
        grader_version=report.environment.get("pytest-attn-grader", ""),
    )


def _load(path: Path, now: datetime) -> tuple[Progress, str]:
    """Read the progress, and return it with a note about a damaged file.

    Raises:
        ProgressError: the file has a version that this grader does not know.
        OSError: the file cannot be read, or a damaged file cannot be renamed.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return Progress(), ""
    if not text.strip():
        return Progress(), ""
    try:
        document: Any = json.loads(text)
        if isinstance(document, dict) and document.get("schema_version", PROGRESS_VERSION) != PROGRESS_VERSION:
            raise ProgressError(
                f"{for_path(path)} has version {for_log(str(document['schema_version']), 20)}, which this grader does "
                f"not know (it writes {PROGRESS_VERSION}); this attempt was not added"
            )
        return Progress.model_validate_json(text), ""
    except (ValueError, ValidationError, RecursionError):
        aside = _rename_damaged(path, now)
        return Progress(), f" (the old file is damaged and was renamed to {for_path(aside.name)})"


def _rename_damaged(path: Path, now: datetime) -> Path:
    stamp = now.strftime("%Y%m%dT%H%M%S")
    aside, number = path.with_name(f"{path.name}.damaged-{stamp}"), 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{stamp}-{number}")
    path.rename(aside)
    return aside
