"""Run the grading jobs of a class: the job, its outcome, and two runners, with and without a fork server."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

from pytest_attn_grader._utils.python_command import module_command
from pytest_attn_grader.sandbox.signals import kill_group

# A run ends when its budget is used up. One that does not has hung, and is ungradable.
GRACE_SECONDS = 60.0
START_SECONDS = 120.0


@dataclass(frozen=True)
class Job:
    """The pytest run for one submission. Plain data, so that an executor can send it to another machine.

    Attributes:
        model, device: the model that the fork server loads before it forks.
        seconds: the time after which it is killed.
        warmup_args: options of the fork server's warm-up; empty when there are too few jobs for one.
        is_repeated: whether the same job comes again, so that the fork server may prepare for it.
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
    is_repeated: bool = False


@dataclass(frozen=True)
class Outcome:
    """The result of one job, from its report; `ungradable` when the report cannot be read."""

    id: str
    verdict: str
    reason: str = ""


class ForkServerRunner:
    """Runs jobs in forks of a `fork_server` process, which is started with the first job and restarted if it dies.

    `multiprocessing`'s fork server cannot do this. It refuses to start below a daemonic process, such as a Dask worker.
    It preloads modules, not a model that is chosen at run time. It reaps every child of the server, also the sandbox's
    fork server.
    """

    def __init__(self, model: str, device: str) -> None:
        self._command = module_command("pytest_attn_grader.cli.grade.fork_server", model, device)
        self._process: subprocess.Popen[str] | None = None
        self._run_pid: int | None = None

    def run(self, job: Job) -> int:
        """Run one job at a time, and return its exit code.

        Raises:
            TimeoutError: the job exceeded its time and was killed.
        """
        process = self._running()
        assert process.stdin is not None
        process.stdin.write(json.dumps(asdict(job)) + "\n")
        process.stdin.flush()
        self._run_pid = int(_read_line(process, START_SECONDS))
        try:
            return int(_read_line(process, job.seconds))
        except TimeoutError:
            self.cancel()
            _read_line(process, START_SECONDS)
            raise
        finally:
            self._run_pid = None

    def cancel(self) -> None:
        """Kill the current run; called by another thread. The runner can run the next one.

        The run leads a process group, and the supervisor of its worker notices its death.
        """
        if self._run_pid is not None and self._process is not None:
            kill_group(self._run_pid, parent=self._process.pid)

    def stop(self) -> None:
        """Kill the fork server and its current run; called by another thread."""
        self.cancel()
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """Stop the fork server and close its pipes."""
        self.stop()
        if self._process is not None:
            self._process.communicate()
            self._process = None

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
            if _read_line(process, START_SECONDS).strip() != "ready":
                raise RuntimeError("the fork server did not start")
        return process


def _read_line(process: subprocess.Popen[str], seconds: float) -> str:
    """Read the next line that the fork server prints.

    Raises:
        TimeoutError: no line within this time.
        RuntimeError: the fork server has ended.
    """
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], seconds)
    if not ready:
        raise TimeoutError(f"no answer within {seconds:g} s")
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"the fork server ended with exit code {process.wait()}")
    return line


class SubprocessRunner:
    """Runs each job in a new interpreter: for Windows and macOS, where a fork is not possible or not safe.

    It is used as `ForkServerRunner`.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, job: Job) -> int:
        with (
            Path(job.log).open("wb") as log,
            subprocess.Popen(
                module_command("pytest", *job.args),
                cwd=job.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            ) as process,
        ):
            self._process = process
            try:
                return process.wait(job.seconds)
            except subprocess.TimeoutExpired as error:
                process.kill()
                raise TimeoutError(str(error)) from error
            finally:
                self._process = None

    def cancel(self) -> None:
        """Kill the current run; the supervisor of its worker notices its death."""
        if self._process is not None:
            self._process.kill()

    stop = cancel

    def close(self) -> None:
        """Do nothing: no resources are held between jobs."""


Runner: TypeAlias = ForkServerRunner | SubprocessRunner


class ThreadLocalRunners:
    """One runner for each thread of an executor, made for its first job."""

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
        """Kill every running job."""
        with self._lock:
            for runner in self._all:
                runner.stop()

    def close(self) -> None:
        """Close all runners; their threads have ended."""
        with self._lock:
            for runner in self._all:
                runner.close()
            self._all.clear()
            self._local = threading.local()


# The runners of this process. A Dask worker, which is another process, has others.
RUNNERS = ThreadLocalRunners()


def can_fork() -> bool:
    """Whether this system can fork safely. macOS forks, but its system libraries do not survive it."""
    return sys.platform.startswith("linux")


def make_runner(model: str, device: str) -> Runner:
    """Make the faster of the runners that this system can have."""
    return ForkServerRunner(model, device) if can_fork() else SubprocessRunner()


def run_job(job: Job) -> Outcome:
    """Grade one submission. Whatever the submission or the run does becomes an outcome, never an exception."""
    runner = RUNNERS.get_runner(lambda: make_runner(job.model, job.device))
    try:
        runner.run(job)
    except TimeoutError:
        return Outcome(job.id, "ungradable", f"the run had not ended after {job.seconds:g} s and was stopped")
    except (RuntimeError, OSError) as error:
        return Outcome(job.id, "ungradable", f"the run could not be started: {error}")
    return read_outcome(job)


def read_outcome(job: Job) -> Outcome:
    """Read the outcome from the report of a job."""
    try:
        report = json.loads(Path(job.report).read_text(encoding="utf-8"))["attn_grader"]
        return Outcome(job.id, report["verdict"], report["reason"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Outcome(job.id, "ungradable", f"the run wrote no readable report ({error}); see {job.log}")
