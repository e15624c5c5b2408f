"""Protect the grader's process while a worker lives (Linux; elsewhere nothing happens). Standard library only.

A worker in the tier `process` runs as the grader's user. So the grader's memory is closed to that user's other
processes, and the grader adopts every process of a worker whose supervisor has been killed, in order to kill it.
"""

from __future__ import annotations

import ctypes
import sys
import threading

from pytest_attn_grader.sandbox.worker.privileges import PR_SET_DUMPABLE, set_process_option
from pytest_attn_grader.sandbox.worker.supervisor import PR_SET_CHILD_SUBREAPER, become_subreaper

_PR_GET_DUMPABLE, _PR_GET_CHILD_SUBREAPER = 3, 37
_lock = threading.Lock()
_workers = 0
_before = (1, 0)


def protect_grader() -> None:
    """Close this process's memory to others and adopt orphans, until `unprotect_grader` was called as often."""
    global _workers, _before  # noqa: PLW0603 - the kernel keeps one such state for each process
    if not sys.platform.startswith("linux"):
        return
    with _lock:
        if _workers == 0:
            _before = _read_state()
        # Each time: a process that was forked has the count, but adopts nothing.
        set_process_option(PR_SET_DUMPABLE, 0)
        become_subreaper()
        _workers += 1


def unprotect_grader() -> None:
    """Undo one `protect_grader`; the last one brings back what was there before."""
    global _workers  # noqa: PLW0603
    if not sys.platform.startswith("linux"):
        return
    with _lock:
        _workers -= 1
        if _workers == 0:
            dumpable, subreaper = _before
            set_process_option(PR_SET_DUMPABLE, dumpable)
            set_process_option(PR_SET_CHILD_SUBREAPER, subreaper)


def _read_state() -> tuple[int, int]:
    prctl = ctypes.CDLL(None).prctl
    subreaper = ctypes.c_int(0)
    prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(subreaper), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))
    return prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0), subreaper.value
