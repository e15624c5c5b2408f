"""Grade a class: the same pytest run for every submission, several at a time, with one report each."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pytest_attn_grader import __version__
from pytest_attn_grader.cli.grade.journal import Entry, Journal
from pytest_attn_grader.cli.grade.runners import GRACE_SECONDS, RUNNERS, Job, Outcome, run_job
from pytest_attn_grader.cli.grade.submissions import Submission

JOURNAL_FILE = "class.jsonl"
REPORTS, PAGES, LOGS, COPIES = "reports", "pages", "logs", "copies"
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
        pages: whether an HTML page is written for each submission.
    """

    model: str
    device: str
    seed: int
    budget_seconds: float
    folder: Path
    options: tuple[str, ...] = ()
    run_settings: Mapping[str, Any] = field(default_factory=dict)
    pages: bool = True

    @property
    def fingerprint(self) -> str:
        """A hash of everything that a result depends on, other than the submission."""
        facts = [__version__, self.model, self.device, self.seed, self.budget_seconds, self.options, self.run_settings]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def make_job(submission: Submission, settings: ClassSettings, out: Path, *, warmed_up: bool = False) -> Job:
    """Build the job that grades one submission.

    Args:
        warmed_up: whether the fork server grades samples before its first job.
    """
    report = out / REPORTS / f"{submission.id}.json"
    common = (
        *settings.options,
        f"--attn-model={settings.model}",
        f"--attn-device={settings.device}",
        f"--attn-seed={settings.seed}",
        f"--attn-budget={settings.budget_seconds:g}",
        "-p",
        "no:cacheprovider",
        "--color=no",
    )
    args = [
        f"--attn-student={submission.target}",
        f"--attn-report={report}",
        *([f"--attn-html={out / PAGES / submission.id}.html"] if settings.pages else []),
        *common,
    ]
    return Job(
        id=submission.id,
        args=tuple(args),
        folder=str(settings.folder),
        report=str(report),
        log=str(out / LOGS / f"{submission.id}.txt"),
        model=settings.model,
        device=settings.device,
        seconds=settings.budget_seconds * 2 + GRACE_SECONDS,
        warmup_args=common if warmed_up else (),
    )


def copy_to_own_folder(submission: Submission, copies: Path) -> Submission:
    """Copy a file out of a folder that it shares with other students: a submission can read its folder."""
    folder = copies / submission.id
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    copied = Path(shutil.copy(submission.path, folder))
    return replace(submission, path=copied, folder=copied)


def grade_class(
    submissions: Sequence[Submission],
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
    for name in (REPORTS, PAGES, LOGS):
        (out / name).mkdir(parents=True, exist_ok=True)
    journal = Journal(out / JOURNAL_FILE)
    contents = {submission.id: submission.hash_content() for submission in submissions}
    files_in_folder = Counter(submission.path.parent for submission in submissions)
    todo = []
    for submission in submissions:
        job = make_job(submission, settings, out, warmed_up=len(submissions) >= WARMUP_MIN_SUBMISSIONS * processes)
        if resume and journal.is_done(submission.id, contents[submission.id], settings.fingerprint, Path(job.report)):
            on_outcome(journal.entries[submission.id].outcome, False)
        elif files_in_folder[submission.path.parent] > 1:
            own = copy_to_own_folder(submission, out / COPIES)
            todo.append(make_job(own, settings, out, warmed_up=bool(job.warmup_args)))
        else:
            todo.append(job)
    for outcome in _run_all(todo, processes, executor):
        journal.append(Entry(outcome, contents[outcome.id], settings.fingerprint))
        on_outcome(outcome, True)
    return [journal.entries[submission.id].outcome for submission in submissions]


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
    return Outcome(job.id, "ungradable", -1, reason=f"the run was lost ({type(error).__name__}: {error})")


def default_processes() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
