"""Puts a forked worker into the namespaces that bubblewrap has made for its submission (Linux). Part of the worker.

bubblewrap makes them around a program that does nothing but hold them open, and the worker joins that program. Joining
gives it every capability in there, which it drops before it serves. Depends on the standard library only.
"""

from __future__ import annotations

import ctypes
import os
import select
import socket
import sys
from collections.abc import Callable, Sequence

from .process_tree import iter_descendants
from .supervisor import die_with_parent, redirect_stdin_to_devnull

_KINDS = {
    "mnt": 0x0002_0000,
    "cgroup": 0x0200_0000,
    "uts": 0x0400_0000,
    "ipc": 0x0800_0000,
    "user": 0x1000_0000,
    "pid": 0x2000_0000,
    "net": 0x4000_0000,
}
# Without one of these it would be no sandbox; of the others bubblewrap makes what the system lets it.
_NEEDED = frozenset({"mnt", "pid", "net", "ipc"})
_SECONDS = 10.0


def fork_worker_inside(command: Sequence[str], confine: Callable[[], None]) -> int:
    """Fork as `supervisor.fork_worker` does, with the child in new namespaces; return its number here in the parent.

    Ends this process when it cannot be done, after saying why on the standard error.

    Args:
        command: bubblewrap with a program that sends back what it is sent, and ends with its standard input.
        confine: is called in both, first.
    """
    try:
        holder = _start_holder(command, confine)
        return _fork_into(holder, confine)
    except OSError as error:
        sys.stderr.write(f"the namespaces cannot be joined: {error}\n")
        os._exit(1)


def _start_holder(command: Sequence[str], confine: Callable[[], None]) -> int:
    """Return the number of a program that runs inside; it ends with this process, and everything inside with it."""
    own_end, holder_end = socket.socketpair()
    outside = os.fork()
    if outside == 0:
        os.dup2(holder_end.fileno(), 0)
        os.dup2(holder_end.fileno(), 1)
        try:
            confine()
            os.execv(command[0], [*command])
        except OSError as error:
            sys.stderr.write(f"{command[0]}: {error}\n")
            os._exit(1)
    holder_end.close()
    own_end.settimeout(_SECONDS)
    own_end.sendall(b"\n")
    if own_end.recv(1) != b"\n":
        raise OSError("bubblewrap did not come up")
    # Kept open as long as this process lives.
    own_end.detach()
    return iter_descendants(outside)[-1]


def _fork_into(holder: int, confine: Callable[[], None]) -> int:
    """Fork a child into the namespaces of `holder`, and return its number; 0 in the child."""
    gate, its_gate = socket.socketpair()
    between = os.fork()
    if between == 0:
        # Joining a namespace of processes moves the children only: this one joins, and its child is the worker.
        gate.close()
        confine()
        _setns(holder)
        worker_pid = os.fork()
        if worker_pid:
            its_gate.sendall(b"%d\n" % worker_pid)
            os._exit(0)
        _begin_inside(its_gate)
        return 0
    its_gate.close()
    _, status = os.waitpid(between, 0)
    # The worker has lost its parent, so it is a child of this process, which is a subreaper.
    said = gate.recv(32)
    if status != 0 or not said.endswith(b"\n"):
        raise OSError("bubblewrap's namespaces cannot be joined")
    gate.sendall(b"\n")
    gate.detach()
    return int(said)


def _begin_inside(gate: socket.socket) -> None:
    """Wait until the parent is the one that stays, then be as bound as what bubblewrap starts."""
    if gate.recv(1) != b"\n":
        os._exit(1)
    die_with_parent()
    poll = select.poll()
    poll.register(gate, select.POLLIN)
    if poll.poll(0):
        os._exit(1)  # it has ended before that
    gate.close()
    os.setsid()
    redirect_stdin_to_devnull()


def _setns(holder: int) -> None:
    different = {kind for kind in _KINDS if _name(holder, kind) != _name(os.getpid(), kind)}
    if not different >= _NEEDED:
        raise OSError(f"no new namespace for {', '.join(sorted(_NEEDED - different))}")
    flags = sum(_KINDS[kind] for kind in different)
    descriptor = os.pidfd_open(holder)
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(descriptor, flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    os.close(descriptor)


def _name(pid: int, kind: str) -> str:
    return os.readlink(f"/proc/{pid}/ns/{kind}")
