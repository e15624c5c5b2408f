"""Look at processes that may end while they are looked at. A zombie has ended: only its parent has yet to ask."""

from __future__ import annotations

import time
from collections.abc import Iterable

import psutil


def is_running(process: psutil.Process) -> bool:
    """Whether a process still runs."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until_ended(processes: Iterable[psutil.Process], seconds: float = 20.0) -> list[psutil.Process]:
    """Wait until these have ended; return those that still run after this time."""
    deadline = time.monotonic() + seconds
    while (left := [each for each in processes if is_running(each)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def command_line(process: psutil.Process) -> str:
    """Return a process's command; "" when it has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""
