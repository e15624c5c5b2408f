"""End workers and process groups from the grader: every function here that kills. Needs psutil outside Linux."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

from pytest_attn_grader.sandbox.fork_server import ForkedProcess
from pytest_attn_grader.sandbox.worker.control_group import end_group_of
from pytest_attn_grader.sandbox.worker.process_tree import check_number, is_stopped, kill_orphans, kill_process_tree

# The supervisor needs a few milliseconds, and longer only for hundreds of processes.
_END_SECONDS = 10.0
_STOPPED_SECONDS = 1.0
_UNSUPERVISED_SECONDS = 2.0


def end_worker(
    process: subprocess.Popen[bytes] | ForkedProcess, control: socket.socket | None, *, supervised: bool
) -> None:
    """End a worker and everything that it has started.

    On Linux its supervisor is asked to; one that does not answer is killed from here. Elsewhere the worker is killed
    with its children and its process group.

    Args:
        process: the supervisor; without one, the worker.
        control: the grader's end of the supervisor's standard input.
        supervised: whether a supervisor listens there.
    """
    with contextlib.suppress(OSError):
        if control is not None:
            # In this direction only: what the supervisor still writes is read.
            control.shutdown(socket.SHUT_WR)
        elif process.stdin is not None:
            process.stdin.close()
    if sys.platform.startswith("linux"):
        _end_supervisor(process, _END_SECONDS if supervised else _UNSUPERVISED_SECONDS)
    else:
        assert isinstance(process, subprocess.Popen)
        if process.returncode is None:  # not waited for, so the number is still its own
            _kill_children(process.pid)
            if sys.platform != "win32":
                kill_group(process.pid, parent=os.getpid())
            process.kill()
            process.wait()


def _end_supervisor(process: subprocess.Popen[bytes] | ForkedProcess, seconds: float) -> None:
    # A supervisor without a known number is not signalled. If it starts later, it finds its standard input closed and
    # ends by itself.
    ended = wait_unless_stopped(process, seconds)
    pid = process.pid
    if not ended and pid is not None:
        with contextlib.suppress(ValueError):  # it has ended meanwhile
            kill_process_tree(pid, owner=_owner_of(process))
        process.kill()
        process.wait()
    owner = _owner_of(process)
    if owner is not None:
        kill_orphans(owner)
    if pid is not None:
        end_group_of(pid)


def wait_unless_stopped(process: subprocess.Popen[bytes] | ForkedProcess, seconds: float = _END_SECONDS) -> bool:
    """Wait for the end of a supervisor; False when it has not ended in time, or is stopped and never will."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOPPED_SECONDS)
            return True
        if process.pid is not None and is_stopped(process.pid):
            return False
    return False


def _owner_of(process: subprocess.Popen[bytes] | ForkedProcess) -> int | None:
    """Return the process whose child a supervisor is; None when that one has ended."""
    return process.parent if isinstance(process, ForkedProcess) else os.getpid()


def _kill_children(pid: int) -> None:
    """Kill the children of a child of this process and their children; re-parented processes are not found."""
    import psutil

    with contextlib.suppress(psutil.Error):
        # psutil compares the time a process started before it signals a number.
        for child in psutil.Process(check_number(pid)).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.kill()


def kill_group(leader: int, *, parent: int) -> None:
    """Kill the process group of a child of `parent` that leads it.

    Raises:
        ValueError: the number does not name such a process. Nothing was signalled.
    """
    import psutil

    check_number(leader), check_number(parent)
    try:
        is_child = psutil.Process(leader).ppid() == parent
    except psutil.Error:
        return  # it has ended
    if not is_child:
        raise ValueError(f"process {leader} is not a child of process {parent}; nothing was signalled")
    # It becomes a leader as the first thing it does, a moment after its parent has said who it is.
    with contextlib.suppress(ProcessLookupError):
        if os.getpgid(leader) == leader:
            os.killpg(leader, signal.SIGKILL)
        else:
            os.kill(leader, signal.SIGKILL)
