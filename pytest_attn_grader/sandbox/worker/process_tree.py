"""List, measure and kill the descendants of a process (Linux). Part of the worker.

Depends on the standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import signal
import stat
import time
from collections.abc import Callable, Iterable
from functools import partial

from .privileges import MACHINES

_KILL_SECONDS = 60.0  # hundreds of processes take their time to end on a busy machine
_ORPHAN_SECONDS = 2.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def kill_process_tree(root: int, *, owner: int | None = None) -> None:
    """Kill every process below `root` until none is left; a subreaper that names itself also reaps what it kills.

    Args:
        root: this process or one that descends from `owner`. It is not killed itself.
        owner: a process that this grader or its parent has started; None for this one.

    Raises:
        ValueError: `root` does not descend from `owner`. Nothing was signalled.
    """
    check_descent(root, owner=owner)
    give_up = time.monotonic() + _KILL_SECONDS
    while time.monotonic() < give_up:
        # Stopped first, each before its children are asked for: what is stopped forks no more, so the search ends.
        stop = partial(signal_below, root, number=signal.SIGSTOP)
        victims = iter_descendants(root, found_one=stop) if root == os.getpid() else []
        # That may miss one that is changing its parent: nothing is left only when the slow way says so too.
        victims = victims or descendants(root)
        for victim in victims:
            signal_below(root, victim, signal.SIGKILL)
        if root == os.getpid():
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
        if not victims:
            return
        time.sleep(0.001)


def kill_orphans(parent: int) -> None:
    """Kill the processes of student code whose supervisor is dead, so that they are children of `parent` now.

    They are known by two things that a worker has and cannot shed: it is in another session than `parent`, and it has a
    seccomp filter more (where there are no filters: `no_new_privs`). Other children of `parent` are left alone.

    Args:
        parent: this process, or the fork server that it uses.

    Raises:
        ValueError: `parent` is not the number of a process, or is above this process. Nothing was signalled.
    """
    if is_below(check_number(parent), os.getpid()):
        raise ValueError(f"process {parent} is above this one; nothing was signalled")
    own = _session_and_filters(parent)
    give_up = time.monotonic() + _ORPHAN_SECONDS
    while own is not None and time.monotonic() < give_up:
        found = {pid: _session_and_filters(pid) for pid in children_of(parent)}
        orphans = [pid for pid, each in found.items() if each is not None and each[0] != own[0] and each[1] > own[1]]
        if not orphans:
            return
        for orphan in orphans:
            for pid in (orphan, *descendants(orphan)):
                signal_below(parent, pid, signal.SIGKILL)
            if parent == os.getpid():
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(orphan, os.WNOHANG)
        time.sleep(0.001)


def _session_and_filters(pid: int) -> tuple[int, int] | None:
    """Return a process's session and how restricted it is; None once it is gone."""
    with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/status", "rb") as status:
        fields = dict(line.split(b":", 1) for line in status if b":" in line)
        field = b"Seccomp_filters" if platform.machine() in MACHINES else b"NoNewPrivs"
        return os.getsid(pid), int(fields[field])
    return None


def is_stopped(pid: int) -> bool:
    """Whether a process has been stopped by a signal."""
    return _read_stat(pid)[0] in {b"T", b"t"}


def children_of(pid: int) -> list[int]:
    """Return the children of a process; empty where there is no /proc."""
    return [each for each in _list_processes() if parent_of(each) == pid]


def _list_processes() -> list[int]:
    with contextlib.suppress(OSError):
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return []


def check_descent(pid: object, *, owner: int | None = None) -> None:
    """Check that a process may be signalled: it is this one, or a descendant of `owner` (by default this one).

    Raises:
        ValueError: it does not. 0, 1 and negative numbers never do: to the kernel they mean whole groups of processes.
    """
    number, above = check_number(pid), check_number(os.getpid() if owner is None else owner)
    if is_below(above, os.getpid()):
        raise ValueError(f"process {above} is above this one; nothing was signalled")
    if number != os.getpid() and not is_below(above, number):
        raise ValueError(f"process {number} does not descend from process {above}; nothing was signalled")


def check_number(pid: object) -> int:
    """Return `pid` if it can be the number of one process.

    Raises:
        ValueError: it cannot.
    """
    if not isinstance(pid, int) or isinstance(pid, bool) or pid <= 1:
        raise ValueError(f"{pid!r} is not the number of a process that may be signalled; nothing was signalled")
    return pid


def is_below(root: int, pid: int) -> bool:
    """Whether `pid` descends from `root` now; False where there is no /proc."""
    seen = set()
    while pid > 1 and pid not in seen:
        seen.add(pid)
        parent = parent_of(pid)
        if parent == root:
            return True
        pid = parent or 0
    return False


def parent_of(pid: int) -> int | None:
    """Return the number of a process's parent; None when the process is gone or there is no /proc."""
    return _read_stat(pid)[1]


def _read_stat(pid: int) -> tuple[bytes, int | None]:
    """Return the state of a process and the number of its parent; nothing of one that is gone."""
    with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/stat", "rb") as file:
        # The name in parentheses may hold anything, also spaces and parentheses.
        state, parent = file.read().rpartition(b")")[2].split()[:2]
        return state, int(parent)
    return b"", None


def signal_below(root: int, pid: int, number: int) -> None:
    """Send a signal to a process if it descends from `root`; otherwise send nothing.

    Raises:
        ValueError: one of the numbers cannot be that of a process.
    """
    check_number(root), check_number(pid)
    with contextlib.suppress(OSError):  # it may have ended by itself
        try:
            descriptor = os.pidfd_open(pid)
        except (AttributeError, OSError) as error:
            # Before Linux 5.3 there are no process descriptors.
            if getattr(error, "errno", errno.ENOSYS) == errno.ENOSYS and is_below(root, pid):
                os.kill(pid, number)
            return
        try:
            # Asked once the descriptor holds on to the process: a number that another process has taken over since
            # then is not signalled, for the descriptor is still the first one's.
            if is_below(root, pid):
                signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)


def descendants(pid: int) -> list[int]:
    """Return the living processes below `pid`, nearest first; empty where there is no /proc."""
    children: dict[int, list[int]] = {}
    for each in _list_processes():
        state, parent = _read_stat(each)
        if parent is not None and (state != b"Z" or parent == os.getpid()):
            children.setdefault(parent, []).append(each)
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(0), [])
        found += below
        waiting += below
    return found


def iter_descendants(pid: int, *, most: int | None = None, found_one: Callable[[int], None] | None = None) -> list[int]:
    """Return the processes below `pid`, asking only about them where the kernel can tell (otherwise about all).

    Args:
        most: stop when there are more than these, because their number may grow faster than they can be counted.
        found_one: is called with each, before its own children are asked for.
    """
    if not os.path.exists(f"/proc/{pid}/task/{pid}/children"):
        return descendants(pid)
    found: list[int] = []
    waiting = [pid]
    while waiting and (most is None or len(found) <= most):
        parent = waiting.pop()
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{parent}/task"):
                with contextlib.suppress(OSError), open(f"/proc/{parent}/task/{thread}/children", "rb") as children:
                    below = [int(child) for child in children.read().split()]
                    found += below
                    waiting += below
                    if found_one is not None:
                        for child in below:
                            found_one(child)
    return found


def host_pid(pid: int, above: int) -> int | None:
    """Return the number here of the process below `above` that is number `pid` in its own namespace."""
    for each in iter_descendants(above):
        with contextlib.suppress(OSError), open(f"/proc/{each}/status", "rb") as status:
            for line in status:
                if line.startswith(b"NSpid:") and line.split()[2:] and int(line.split()[-1]) == pid:
                    return each
    return None


def resident_bytes(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/statm", "rb") as sizes:
        return int(sizes.read().split()[1]) * _PAGE_BYTES
    return 0


def deleted_bytes(pids: Iterable[int]) -> int:
    """Size of the files without a name that these processes hold open: a memfd is memory that no process maps."""
    sizes = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            for entry in os.scandir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    found = entry.stat()
                    if found.st_nlink == 0 and stat.S_ISREG(found.st_mode):
                        sizes[found.st_dev, found.st_ino] = found.st_blocks * 512
    return sum(sizes.values())


def proportional_bytes(pid: int) -> int:
    """Memory of a process with its part of shared pages, in bytes; with all of them where /proc hides the part."""
    with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/smaps_rollup", "rb") as sizes:
        for line in sizes:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return resident_bytes(pid)
