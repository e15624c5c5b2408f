"""The small process above a worker that sees to it that nothing the worker started outlives it (Linux).

It forks the worker before torch is loaded, is the subreaper of everything below it (so a descendant that double-forked
or called setsid comes back as its child), and ends when the worker ends or when the grader closes its standard input.
It also counts the processes and their memory together, which no limit of a single process does; too much of it ends all
of them. It then writes the worker's exit code and the reason to its standard input, whose other end the grader has, and
ends as the worker did. On other systems there is no supervisor: the worker is killed with its process group and its
children, and a descendant that left both survives. Depends on the standard library only.
"""

from __future__ import annotations

import contextlib
import os
import platform
import select
import signal
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from . import control_group
from .limits import THREADS_PER_PROCESS
from .privileges import (
    MACHINES,
    become_ordinary_user,
    hide_memory,
    ordinary_user_suffices,
    set_process_option,
)
from .process_tree import deleted_bytes, iter_descendants, kill_process_tree, proportional_bytes, resident_bytes

_PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
_CHECK_SECONDS = 0.05
_CHECK_SECONDS_WITH_CHILDREN = 0.005  # a bomb doubles
_CHECK_SECONDS_WITHOUT_PIDFD = 0.02
# The supervisor watches before torch is there, so what torch itself takes is not measured but allowed for.
_LIBRARIES_BYTES = 1 << 29
_OWN_PROCESSES = 4  # at most: bubblewrap is two, what it runs is one, then the worker


def supervise(
    descriptor: int,
    config: Mapping[str, Any],
    *,
    fork: Callable[[Callable[[], None]], int] | None = None,
    grader: int | None = None,
) -> None:
    """Fork; return in the child, which goes on as the worker. The parent watches over it and never returns.

    Args:
        descriptor: the worker's socket.
        config: what `launch` says about the worker.
        fork: forks the worker, as `fork_worker` does.
        grader: a descriptor of the grader's process (`os.pidfd_open`); None when it is our parent.
    """
    if not become_subreaper():
        os._exit(1)
    limits = config["limits"]
    group = _create_group(limits)
    leave_root = ordinary_user_suffices(config["root"], config["needed"])
    worker_pid = (fork or fork_worker)(partial(_confine, group, leave_root=leave_root))
    if worker_pid == 0:
        return
    hide_memory()
    os.close(descriptor)
    status, note = _supervise_worker(worker_pid, limits, grader, group)
    # There is no reader when the grader is gone.
    with contextlib.suppress(OSError):
        os.write(0, f"ended {os.waitstatus_to_exitcode(status)} {note}\n".encode())
    _exit_with_status(status)


def become_subreaper() -> bool:
    """Become the parent of every descendant that loses its own; False where the system has no such thing."""
    return sys.platform.startswith("linux") and set_process_option(PR_SET_CHILD_SUBREAPER, 1)


def _create_group(limits: Mapping[str, Any]) -> Path | None:
    max_bytes, max_processes = limits["memory_bytes"], limits["processes"]
    return control_group.create_group(
        None if max_bytes is None else max_bytes + _LIBRARIES_BYTES,
        None if max_processes is None else max_processes * THREADS_PER_PROCESS + _OWN_PROCESSES,
    )


def _confine(group: Path | None, *, leave_root: bool) -> None:
    """Put this process, which becomes the worker, into its control group, and have it leave uid 0."""
    control_group.enter_group(group)
    if leave_root:
        become_ordinary_user()


def fork_worker(confine: Callable[[], None]) -> int:
    """Fork; the child (0) is confined, dies with this process, and has a new session and nothing to read."""
    supervisor_pid, niceness = os.getpid(), os.getpriority(os.PRIO_PROCESS, 0)
    _raise_priority()
    worker_pid = os.fork()
    if worker_pid == 0:
        with contextlib.suppress(OSError):  # below 0 it needs a privilege
            os.setpriority(os.PRIO_PROCESS, 0, niceness)
        confine()  # first: the kernel forgets with whom a process dies when its user changes
        die_with_parent()
        if os.getppid() != supervisor_pid:
            os._exit(1)
        os.setsid()
        redirect_stdin_to_devnull()
    return worker_pid


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends."""
    set_process_option(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _supervise_worker(
    worker_pid: int, limits: Mapping[str, Any], grader: int | None, group: Path | None
) -> tuple[int, str]:
    """Wait for the end of the worker or of the grader, and end everything below this process.

    Returns the worker's wait status (0 when it was ended from here), and what there was too much of, or "".
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    status, note = _watch(worker_pid, limits, grader)
    if not note and control_group.ran_out_of_memory(group):
        note = "out-of-memory"
    # First one by one, stopped before they are killed: a hundred processes that the kernel ends at once wait for each
    # other, and the group's lock may be held by a process that has no turn on a busy machine.
    kill_process_tree(os.getpid())
    control_group.kill_group(group)
    control_group.remove_group(group)
    return status, note


def _raise_priority() -> None:
    """Take precedence over the worker, so that hundreds of its processes cannot keep this process from ending them.

    Only root may. It needs to: everybody else has a limit on the number of processes that the system holds them to.
    What is forked from here has the usual precedence again, with niceness 0.
    """
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))


def redirect_stdin_to_devnull() -> None:
    """Give the worker an empty standard input: the real one is the grader's handle on the supervisor."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def _watch(worker_pid: int, limits: Mapping[str, Any], grader: int | None) -> tuple[int, str]:
    """Wait until the worker has ended, the grader has gone, or there is too much of something.

    Returns the worker's wait status, or 0, and what there was too much of.
    """
    parent_pid = os.getppid()
    poll = select.poll()
    signs_of_the_end = {0} if grader is None else {0, grader}
    for descriptor in signs_of_the_end:
        poll.register(descriptor, select.POLLHUP | select.POLLERR | select.POLLIN)
    longest_pause = _CHECK_SECONDS_WITHOUT_PIDFD
    with contextlib.suppress(AttributeError, OSError):
        poll.register(os.pidfd_open(worker_pid), select.POLLIN)
        longest_pause = _CHECK_SECONDS
    pause = longest_pause
    most = None if limits["processes"] is None else limits["processes"] + _OWN_PROCESSES
    while True:
        ready = poll.poll(pause * 1000)
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == worker_pid:
                    return ended[1], ""
        # The grader's end of standard input may be kept open by another child of the grader: ask who our parent is too.
        orphaned = grader is None and os.getppid() != parent_pid
        if orphaned or any(descriptor in signs_of_the_end for descriptor, _ in ready):
            return 0, ""
        pids = iter_descendants(os.getpid(), most=most)
        note = _exceeded_limit(pids, most, limits["memory_bytes"])
        if note:
            return 0, note
        pause = min(pause, _CHECK_SECONDS_WITH_CHILDREN) if len(pids) > _OWN_PROCESSES else longest_pause


def _exceeded_limit(pids: list[int], max_processes: int | None, max_bytes: int | None) -> str:
    if max_processes is not None and len(pids) > max_processes:
        return "too-many-processes"
    if max_bytes is not None:
        most = max_bytes + _LIBRARIES_BYTES
        if platform.machine() not in MACHINES and deleted_bytes(pids) > max_bytes:
            return "out-of-memory"  # elsewhere the filter of system calls refuses a memfd
        # Pages that processes share count in each of them here, which is cheap to ask, and only once there.
        if sum(map(resident_bytes, pids)) > most and sum(map(proportional_bytes, pids)) > most:
            return "out-of-memory"
    return ""


def _exit_with_status(status: int) -> None:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        # The limit on core files is the worker's: set it here too before dying of the same signal.
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 1)
