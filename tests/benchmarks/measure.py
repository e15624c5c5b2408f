"""Run a command and say what it cost: its time by one way, its memory by another, never both at once."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from pytest_attn_grader._utils.memory import peak_rss_bytes
from tests.benchmarks.subjects import Subject

MEBIBYTE = 1 << 20
# Often enough to meet a peak that lasts; looking at a process of 3,000 mappings takes a few milliseconds.
LOOK_SECONDS = 0.02


@dataclass(frozen=True)
class Cost:
    """Attributes:
    wall_seconds: from its start to its end.
    cpu_seconds: of the process and everything below it that it has waited for.
    """

    wall_seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class Memory:
    """Peaks in MiB.

    Attributes:
        main_rss: resident memory of the process itself, pages of shared libraries included.
        main_pss: the same with shared pages divided among those who share them.
        all_pss: of the process and everything below it, at one time.
    """

    main_rss: float
    main_pss: float
    all_pss: float


class FailedError(RuntimeError):
    """A subject did not end with exit code 0: its figures would mean nothing."""


def cost(subject: Subject, environment: Mapping[str, str]) -> Cost:
    """Run once, undisturbed, and take the time.

    Raises:
        FailedError: it exits with something else than 0.
    """
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = _start(subject, environment, output)
        _, status, used = os.wait4(process.pid, 0)
        wall_seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        _check(subject, process.returncode, output)
    return Cost(wall_seconds, used.ru_utime + used.ru_stime)


def memory(subject: Subject, environment: Mapping[str, str]) -> Memory:
    """Run once and look at the memory all the time, which slows it down (Linux only).

    Raises:
        FailedError: it exits with something else than 0.
    """
    with tempfile.TemporaryFile() as output:
        process = _start(subject, environment, output)
        watch = _Watch(process.pid)
        watch.start()
        process.wait()
        watch.ended.set()
        watch.join()
        _check(subject, process.returncode, output)
    return Memory(watch.main_rss / MEBIBYTE, watch.main_pss / MEBIBYTE, watch.all_pss / MEBIBYTE)


class _Watch(threading.Thread):
    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.ended = threading.Event()
        self.main_rss = self.main_pss = self.all_pss = 0

    def run(self) -> None:
        while not self.ended.wait(LOOK_SECONDS):
            # It may end, or one of its children may, while we look.
            with contextlib.suppress(psutil.Error, OSError):
                main = psutil.Process(self.pid)
                self.main_rss = max(self.main_rss, peak_rss_bytes(self.pid) or 0)
                main_pss = _pss_bytes(self.pid)
                below = [_pss_bytes(child.pid) for child in main.children(recursive=True)]
                self.main_pss = max(self.main_pss, main_pss)
                self.all_pss = max(self.all_pss, main_pss + sum(below))


def _pss_bytes(pid: int) -> int:
    with contextlib.suppress(psutil.Error):
        return int(psutil.Process(pid).memory_full_info().pss)
    return 0


def _start(subject: Subject, environment: Mapping[str, str], output: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        subject.command,
        cwd=subject.folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=output,  # type: ignore[call-overload]
        stderr=subprocess.STDOUT,
    )


def _check(subject: Subject, code: int, output: tempfile._TemporaryFileWrapper[bytes]) -> None:
    if code != 0:
        output.seek(0)
        raise FailedError(f"{subject.name} ended with {code}:\n{output.read()[-3000:].decode(errors='replace')}")
