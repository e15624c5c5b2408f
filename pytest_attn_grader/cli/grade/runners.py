"""One submission graded: what is asked for, what came of it, and the process that does it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pytest_attn_grader.sandbox.signals import kill_group

# A run ends by itself when its budget is used up; one that does not has hung, and that is our fault.
GRACE_SECONDS = 60.0
START_SECONDS = 120.0


@dataclass(frozen=True)
class Job:
    """One run of pytest. Plain data: an executor may send it to another machine that has the same files.

    Attributes:
        args: the command line behind `pytest`.
        folder: where it is started.
        report: the JSON document that it writes.
        log: what it prints.
        model, device: what a warm process has ready.
        seconds: how long it may take before it is killed.
        warmup_args: options of the run that a warm process makes of samples before its first job; none when there are
            too few jobs to earn it back.
    """

    id: str
    args: tuple[str, ...]
    folder: str
    report: str
    log: str
    model: str
    device: str
    seconds: float
    warmup_args: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What came of one submission, as the report says; `ungradable` when there is none that can be read."""

    id: str
    verdict: str
    exit_code: int
    earned: float = 0.0
    possible: float = 0.0
    reason: str = ""
    seconds: float = 0.0


class Runner(Protocol):
    """Runs one job at a time, to its end."""

    def run(self, job: Job) -> int:
        """Return the exit code.

        Raises:
            TimeoutError: it took longer than it may, and was killed.
        """
        ...

    def stop(self) -> None:
        """End the job that is being run; another thread waits for it."""
        ...

    def close(self) -> None:
        """Give back what is held; no job is being run."""
        ...


class ForkServerRunner:
    """A process of `warm.py`, with the model in memory; started when the first job comes, and again when it died."""

    def __init__(self, model: str, device: str) -> None:
        self._command = [sys.executable, "-m", "pytest_attn_grader.cli.grade.fork_server", model, device]
        self._process: subprocess.Popen[str] | None = None
        self._run_pid: int | None = None

    def run(self, job: Job) -> int:
        process = self._running()
        assert process.stdin is not None
        process.stdin.write(json.dumps(vars(job)) + "\n")
        process.stdin.flush()
        self._run_pid = int(_answer(process, START_SECONDS))
        try:
            return int(_answer(process, job.seconds))
        except TimeoutError:
            self._kill_run()
            _answer(process, START_SECONDS)
            raise
        finally:
            self._run_pid = None

    def stop(self) -> None:
        """End the process, and the run that it was at."""
        self._kill_run()
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """End the process and give back its pipes."""
        self.stop()
        if self._process is not None:
            self._process.communicate()
            self._process = None

    def _kill_run(self) -> None:
        # It leads a session of its own; the supervisor of its worker notices.
        if self._run_pid is not None and self._process is not None:
            kill_group(self._run_pid, parent=self._process.pid)

    def _running(self) -> subprocess.Popen[str]:
        if self._process is not None and self._process.poll() is not None:
            self.close()
        process = self._process
        if process is None:
            process = self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                # One thread: several runs share the cores, and neither OpenMP's threads nor the tokenizer's survive a
                # fork.
                env={**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
            )
            if _answer(process, START_SECONDS).strip() != "ready":
                raise RuntimeError("the warm process did not come up")
        return process


def _answer(process: subprocess.Popen[str], seconds: float) -> str:
    """The next line of a warm process.

    Raises:
        TimeoutError: it does not come in time.
        RuntimeError: the process has ended.
    """
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], seconds)
    if not ready:
        raise TimeoutError(f"no answer within {seconds:g} s")
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"the warm process ended with exit code {process.wait()}")
    return line


class SubprocessRunner:
    """A new interpreter for every job: where processes cannot be forked (Windows), or should not (macOS)."""

    def run(self, job: Job) -> int:
        with Path(job.log).open("wb") as log:
            try:
                return subprocess.run(
                    [sys.executable, "-m", "pytest", *job.args],
                    cwd=job.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    timeout=job.seconds,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired as error:
                raise TimeoutError(str(error)) from error

    def stop(self) -> None:
        """It ends with its time."""

    def close(self) -> None:
        """Nothing is kept."""


class ThreadLocalRunners:
    """Each thread of an executor has a runner of its own, made when its first job comes."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._all: list[Runner] = []
        self._lock = threading.Lock()

    def get_runner(self, make: Callable[[], Runner]) -> Runner:
        """Return this thread's runner, made when it has none."""
        runner: Runner | None = getattr(self._local, "runner", None)
        if runner is None:
            with self._lock:
                runner = self._local.runner = make()
                self._all.append(runner)
        return runner

    def stop(self) -> None:
        """End every job that is being run."""
        with self._lock:
            for runner in self._all:
                runner.stop()

    def close(self) -> None:
        """Give back what all of them hold; their threads have ended."""
        with self._lock:
            for runner in self._all:
                runner.close()
            self._all.clear()
            self._local = threading.local()


# Of this process: an executor in another process (a Dask worker) finds its own here.
RUNNERS = ThreadLocalRunners()


def can_fork() -> bool:
    """macOS can, but its system libraries do not survive it."""
    return sys.platform.startswith("linux")


def run_job(job: Job) -> Outcome:
    """Grade one submission; never raises for what a submission or a run does."""
    runner = RUNNERS.get_runner(lambda: ForkServerRunner(job.model, job.device) if can_fork() else SubprocessRunner())
    started = time.monotonic()
    reason = ""
    exit_code = -1
    try:
        exit_code = runner.run(job)
    except TimeoutError:
        reason = f"the run had not ended after {job.seconds:g} s and was stopped"
    except (RuntimeError, OSError) as error:
        reason = f"the run could not be made: {error}"
    return _read_outcome(job, exit_code, reason, time.monotonic() - started)


def _read_outcome(job: Job, exit_code: int, reason: str, seconds: float) -> Outcome:
    try:
        report = json.loads(Path(job.report).read_text(encoding="utf-8"))["attn_grader"]
        score = report["score"]
        if not reason:
            return Outcome(
                job.id, report["verdict"], exit_code, score["earned"], score["possible"], report["reason"], seconds
            )
    except (OSError, ValueError, KeyError) as error:
        reason = reason or f"it left no report that can be read ({error}); see {job.log}"
    return Outcome(job.id, "ungradable", exit_code, reason=reason, seconds=seconds)
