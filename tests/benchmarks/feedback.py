"""The ways to a verdict that keep the model: a call of `grade` in a session, and a save that `watch` sees."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import psutil

from pytest_attn_grader.cli.watch.watcher import Watcher, WatchSettings
from pytest_attn_grader.results.report import GradeReport
from tests.benchmarks.measure import Cost, FailedError
from tests.support.checkpoints import REPO_ROOT
from tests.support.students import REFERENCE

SCRIPT = Path(__file__).with_name("live_calls.py")
SOURCES = {"right": REFERENCE, "wrong": REFERENCE.replace(" / math.sqrt(query.size(-1))", "")}
VERDICTS = {"right": "passed", "wrong": "failed"}
MAX_SECONDS = 120.0


class Feedback(Protocol):
    """A way to a verdict."""

    def get(self, attempt: str) -> Cost:
        """Grade the attempt, one of `SOURCES`.

        Raises:
            FailedError: the verdict is not the expected one, or there is none.
        """


class LiveSession:
    """A session in which `grade` has been called once."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def get(self, attempt: str) -> Cost:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{attempt}\n")
        self._process.stdin.flush()
        found = json.loads(self.read_line())
        _check("a call of grade()", attempt, found["verdict"])
        return Cost(found["wall_seconds"], found["cpu_seconds"])

    def read_line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise FailedError(f"{SCRIPT.name} ended with {self._process.wait()}")
        return line


@contextmanager
def live_session(environment: Mapping[str, str]) -> Iterator[Feedback]:
    """Start a session, and end it."""
    with subprocess.Popen(
        [sys.executable, str(SCRIPT)],
        cwd=REPO_ROOT,
        env=dict(environment),
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        session = LiveSession(process)
        session.read_line()
        yield session
        assert process.stdin is not None
        process.stdin.close()


class WatchedFile:
    """A file that `attn-grader watch` grades at every save."""

    def __init__(self, path: Path, reports: queue.Queue[GradeReport]) -> None:
        self._path = path
        self._reports = reports
        self._saves = 0

    def get(self, attempt: str) -> Cost:
        self._saves += 1
        started, started_cpu = time.perf_counter(), _cpu_seconds()
        # No two saves the same: nothing can be known from an earlier one.
        self._path.write_text(f"{SOURCES[attempt]}\nSAVE = {self._saves}\n", encoding="utf-8")
        report = self._reports.get(timeout=MAX_SECONDS)
        seconds = time.perf_counter() - started
        _check("a save under watch", attempt, report.verdict)
        return Cost(seconds, _cpu_seconds() - started_cpu)


@contextmanager
def watched_file(folder: Path) -> Iterator[Feedback]:
    """Watch a file in a new folder, and stop watching."""
    path, run = folder / "watched" / "my_attention.py", folder / "run"
    for each in (path.parent, run):
        each.mkdir()
    path.write_text(REFERENCE, encoding="utf-8")
    reports: queue.Queue[GradeReport] = queue.Queue()
    watcher = Watcher(WatchSettings(path), run, reports.put)
    thread = threading.Thread(target=watcher.run)
    thread.start()
    try:
        reports.get(timeout=MAX_SECONDS)
        yield WatchedFile(path, reports)
    finally:
        watcher.stop_event.set()
        thread.join(MAX_SECONDS)


def _cpu_seconds() -> float:
    """Processor time of this process and all below it, those that have ended and been waited for included."""
    total = time.process_time()
    for child in psutil.Process().children(recursive=True):
        try:
            total += sum(child.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
    return total


def _check(what: str, attempt: str, verdict: str) -> None:
    if verdict != VERDICTS[attempt]:
        raise FailedError(f"{what} gave {verdict!r} to a {attempt} attempt")
