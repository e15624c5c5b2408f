"""Grade a class: every submission by the same run of pytest that its author would start, side by side."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_attn_grader import __version__
from pytest_attn_grader.cli.grade.journal import Entry, Journal
from pytest_attn_grader.cli.grade.runners import GRACE_SECONDS, RUNNERS, Job, Outcome, run_job
from pytest_attn_grader.cli.grade.submissions import Submission

LEDGER_FILE = "class.jsonl"
REPORTS, PAGES, LOGS, COPIES = "reports", "pages", "logs", "copies"
# So many for each process: a rehearsal costs about as much as it saves on ten.
WARMUP_MIN_SUBMISSIONS = 10


@dataclass(frozen=True)
class ClassSettings:
    """How every submission of a class is graded.

    Attributes:
        seed: the same for all, so that equal numbers mean equal behaviour.
        options: more options for pytest, as typed.
        folder: where each run starts; the ini file there counts, as it does for a single run.
        pages: whether each gets a page beside its report.
    """

    model: str
    device: str
    seed: int
    budget_seconds: float
    folder: Path
    options: tuple[str, ...] = ()
    pages: bool = True

    @property
    def fingerprint(self) -> str:
        """Changes whenever a result might."""
        said = [__version__, self.model, self.device, str(self.seed), str(self.budget_seconds), *self.options]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def make_job(submission: Submission, settings: ClassSettings, out: Path, *, rehearsed: bool = False) -> Job:
    """The run of pytest for one submission.

    Args:
        rehearsed: there are so many that a warm process does well to prepare itself.
    """
    report = out / REPORTS / f"{submission.id}.json"
    common = (
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
        *settings.options,
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
        rehearsal=common if rehearsed else (),
    )


def apart(submission: Submission, copies: Path) -> Submission:
    """A copy of a file that lies in one folder with another student's: what is in its folder a submission can read."""
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
    tell: Callable[[Outcome, bool], None] = lambda outcome, graded_now: None,
) -> list[Outcome]:
    """Grade every submission, and leave a report, a page and a log of each in `out`.

    Args:
        processes: how many at a time; of an executor that is given, it decides itself.
        resume: leave out what was graded before in the same way and has not changed.
        executor: where jobs are run; by default threads here, each with a warm process of its own.
        tell: called with every outcome as it comes, and whether it was graded now.

    Returns:
        The outcomes in the order of the submissions.

    Raises:
        KeyboardInterrupt: as it came; whatever is finished stays, and `resume` goes on from there.
    """
    for name in (REPORTS, PAGES, LOGS):
        (out / name).mkdir(parents=True, exist_ok=True)
    ledger = Journal(out / LEDGER_FILE)
    contents = {submission.id: submission.hash_content() for submission in submissions}
    neighbours = Counter(submission.path.parent for submission in submissions)
    todo = []
    for submission in submissions:
        job = make_job(submission, settings, out, rehearsed=len(submissions) >= WARMUP_MIN_SUBMISSIONS * processes)
        if resume and ledger.is_done(submission.id, contents[submission.id], settings.fingerprint, Path(job.report)):
            tell(ledger.entries[submission.id].outcome, False)
        elif neighbours[submission.path.parent] > 1:
            own = apart(submission, out / COPIES)
            todo.append(make_job(own, settings, out, rehearsed=bool(job.rehearsal)))
        else:
            todo.append(job)
    for outcome in _run_all(todo, processes, executor):
        ledger.append(Entry(outcome, contents[outcome.id], settings.fingerprint))
        tell(outcome, True)
    return [ledger.entries[submission.id].outcome for submission in submissions]


def _run_all(jobs: Sequence[Job], processes: int, executor: Executor | None) -> Iterator[Outcome]:
    """Every outcome as it comes; only as many jobs are handed out as can run, so that an end comes soon."""
    pool = executor or ThreadPoolExecutor(processes, thread_name_prefix="attn-grader")
    at_once = processes if executor is None else len(jobs)
    waiting = iter(jobs)
    running: dict[Future[Outcome], Job] = {}
    try:
        while True:
            while len(running) < at_once and (job := next(waiting, None)) is not None:
                running[pool.submit(run_job, job)] = job
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield _outcome_of(future, running.pop(future))
    finally:
        if executor is None:
            # Ends the runs that are still going on, for which the threads wait.
            RUNNERS.stop()
            pool.shutdown(cancel_futures=True)
            RUNNERS.close()


def _outcome_of(future: Future[Outcome], job: Job) -> Outcome:
    """What a job has come to; `run_job` raises nothing, so an exception is its place's."""
    error = CancelledError("cancelled") if future.cancelled() else future.exception()
    if error is None:
        return future.result()
    return Outcome(job.id, "ungradable", -1, reason=f"the run was lost ({type(error).__name__}: {error})")


def default_processes() -> int:
    """One for each core this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
