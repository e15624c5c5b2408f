"""Kill processes from the grader: the children of a worker and process groups. Needs psutil outside Linux."""

from __future__ import annotations

import contextlib
import os
import signal

from pytest_attn_grader.sandbox.worker.process_tree import check_number


def kill_children(pid: int) -> None:
    """Kill what is still below a process, where nobody else does; what has got itself another parent stays.

    Raises:
        ValueError: it is neither this process nor below it.
    """
    with contextlib.suppress(ImportError):
        import psutil

        if not _is_ours(pid):
            raise ValueError(f"process {pid!r} does not descend from this one; nothing was signalled")
        with contextlib.suppress(psutil.Error):
            # psutil compares the time a process started before it signals a number.
            for child in psutil.Process(pid).children(recursive=True):
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


def _is_ours(pid: int) -> bool:
    import psutil

    try:
        parents = psutil.Process(check_number(pid)).parents()
        return pid == os.getpid() or os.getpid() in {above.pid for above in parents}
    except psutil.Error:
        return False
