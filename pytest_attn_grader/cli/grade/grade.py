"""Grade a class: the same pytest run for every submission, several at a time, with one report each."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pytest_attn_grader import __version__
from pytest_attn_grader.cli.grade.archives import MACHINE_ERRORS
from pytest_attn_grader.cli.grade.class_list import ClassList, read_class_list
from pytest_attn_grader.cli.grade.copies import copy_to_own_folder, needs_copy
from pytest_attn_grader.cli.grade.folders import UnusableSubmissionError
from pytest_attn_grader.cli.grade.identifiers import make_file_stem, readable_text
from pytest_attn_grader.cli.grade.runners import GRACE_SECONDS, RUNNERS, Job, Outcome, read_outcome, run_job
from pytest_attn_grader.cli.grade.submissions import ClassSubmission, describe_error

REPORTS, PAGES, LOGS, PLOTS, COPIES = "reports", "pages", "logs", "plots", "copies"
# For each process: a warm-up costs about as much as it saves on ten submissions.
WARMUP_MIN_SUBMISSIONS = 10


@dataclass(frozen=True)
class ClassSettings:
    """The settings of every run of a class.

    Attributes:
        seed: one seed for all, so that equal numbers mean equal behaviour.
        folder: the working directory of each run; its ini file applies, as for a single run.
        options: the options of pytest as typed.
        run_settings: all settings of a run, also from the environment and the ini file; a change means grading again.
    """

    model: str
    device: str
    seed: int
    budget_seconds: float
    folder: Path
    options: tuple[str, ...] = ()
    run_settings: Mapping[str, Any] = field(default_factory=dict)
    pages: bool = True
    plots: bool = False
    formats: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """A hash of everything that a result depends on, other than the submission."""
        facts = [__version__, self.model, self.device, self.seed, self.budget_seconds, self.options, self.run_settings]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    @property
    def common_args(self) -> tuple[str, ...]:
        """The arguments that all runs share."""
        return (
            *self.options,
            f"--attn-model={self.model}",
            f"--attn-device={self.device}",
            f"--attn-seed={self.seed}",
            f"--attn-budget={self.budget_seconds:g}",
            *("-p", "no:cacheprovider", "--color=no"),
        )


def make_job(submission: ClassSubmission, settings: ClassSettings, out: Path) -> Job:
    """Build the job that grades one submission."""
    stem = submission.file_stem or make_file_stem(submission.id)
    report = out / REPORTS / f"{stem}.json"
    args = [
        f"--attn-student={submission.target}",
        f"--attn-report={report}",
        f"--attn-title={readable_text(submission.id)}",
        *([f"--attn-html={out / PAGES / stem}.html"] if settings.pages else []),
        *([f"--attn-plots={out / PLOTS / stem}"] if settings.plots else []),
        *(f"--attn-format={name}:{out / name / stem}.txt" for name in settings.formats),
        *settings.common_args,
    ]
    return Job(
        id=submission.id,
        args=tuple(args),
        folder=str(settings.folder),
        report=str(report),
        log=str(out / LOGS / f"{stem}.txt"),
        model=settings.model,
        device=settings.device,
        seconds=settings.budget_seconds * 2 + GRACE_SECONDS,
    )


def grade_class(
    submissions: Sequence[ClassSubmission],
    settings: ClassSettings,
    out: Path,
    *,
    processes: int,
    resume: bool = False,
    executor: Executor | None = None,
    on_outcome: Callable[[Outcome, bool], None] = lambda outcome, graded_now: None,
) -> list[Outcome]:
    """Grade every submission, and write a report, a page and a log of each into `out`.

    Args:
        processes: number of submissions graded at the same time; not used with an `executor`.
        resume: skip submissions that were graded with the same settings and have not changed.
        executor: runs the jobs; by default local threads, each with a fork server.
        on_outcome: called with every outcome, and with False for a submission that was skipped.

    Returns:
        The outcomes in the order of the submissions.

    Raises:
        KeyboardInterrupt: after an interrupt; finished outcomes are kept for `resume`.
    """
    for name in (REPORTS, PAGES, LOGS, *settings.formats):
        (out / name).mkdir(parents=True, exist_ok=True)
    earlier = read_class_list(out) if resume else None
    graded = set() if earlier is None else {(each.id, each.fingerprint) for each in earlier.members}
    files_in_folder = Counter(each.path.parent for each in submissions if each.path is not None)
    members, jobs, skipped = [], [], []
    for submission in submissions:
        try:
            if submission.problem:
                raise UnusableSubmissionError(submission.problem)
            fingerprint = f"{submission.hash_content()} {settings.fingerprint}"
            job = make_job(submission, settings, out)
            outcome = read_outcome(job) if (submission.id, fingerprint) in graded else None
            if outcome is not None and outcome.verdict != "ungradable":
                skipped.append(outcome)
            else:
                assert submission.path is not None
                _remove_outputs(submission, out)
                if files_in_folder[submission.path.parent] > 1 or needs_copy(submission):
                    job = make_job(copy_to_own_folder(submission, out / COPIES), settings, out)
                jobs.append(job)
            members.append(replace(submission, fingerprint=fingerprint))
        except (UnusableSubmissionError, OSError) as error:
            if isinstance(error, OSError) and error.errno in MACHINE_ERRORS:
                raise
            problem = describe_error(error)
            members.append(replace(submission, problem=problem))
            skipped.append(Outcome(submission.id, "ungradable", problem))
            _remove_outputs(submission, out)
    # After the reports of other versions are gone: what it names and what has a report is graded.
    ClassList(settings.seed, tuple(members)).write(out)
    for outcome in skipped:
        on_outcome(outcome, False)
    if len(jobs) >= WARMUP_MIN_SUBMISSIONS * processes:
        jobs = [replace(job, warmup_args=settings.common_args) for job in jobs]
    outcomes = {outcome.id: outcome for outcome in skipped}
    for outcome in _run_all(jobs, processes, executor):
        outcomes[outcome.id] = outcome
        on_outcome(outcome, True)
    return [outcomes[submission.id] for submission in submissions]


def _remove_outputs(submission: ClassSubmission, out: Path) -> None:
    """Remove what an earlier version of a submission left, so that it is not taken for this one's."""
    stem = submission.file_stem or make_file_stem(submission.id)
    for folder, suffix in ((REPORTS, "json"), (PAGES, "html"), (LOGS, "txt")):
        (out / folder / f"{stem}.{suffix}").unlink(missing_ok=True)


def _run_all(jobs: Sequence[Job], processes: int, executor: Executor | None) -> Iterator[Outcome]:
    """Yield outcomes as they finish. Only as many jobs are submitted as can run, so that an interrupt ends soon."""
    pool = executor or ThreadPoolExecutor(processes, thread_name_prefix="attn-grader")
    max_running = processes if executor is None else len(jobs)
    waiting = iter(jobs)
    running: dict[Future[Outcome], Job] = {}
    try:
        while True:
            while len(running) < max_running and (job := next(waiting, None)) is not None:
                running[pool.submit(run_job, job)] = job
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield _get_outcome(future, running.pop(future))
    finally:
        if executor is None:
            # The threads wait for their runs, so end these first.
            RUNNERS.stop()
            pool.shutdown(cancel_futures=True)
            RUNNERS.close()


def _get_outcome(future: Future[Outcome], job: Job) -> Outcome:
    """The outcome of a future. `run_job` raises nothing, so an exception comes from the executor."""
    error = CancelledError("cancelled") if future.cancelled() else future.exception()
    if error is None:
        return future.result()
    return Outcome(job.id, "ungradable", f"the run was lost ({type(error).__name__}: {error})")


def default_processes() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
