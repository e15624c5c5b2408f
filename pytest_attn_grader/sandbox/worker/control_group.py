"""A control group (cgroup v2) around a worker: the kernel limits its memory and ends all of it. Part of the worker.

The supervisor makes one where it may. Everything works without it: the supervisor counts too. Depends on the standard
library only.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

PREFIX = "attn-grader-"  # then the supervisor's process id
_REMOVE_SECONDS = 2.0


def create_group(max_bytes: int | None, max_tasks: int | None, *, parents: Sequence[Path] | None = None) -> Path | None:
    """Make a control group for a worker of this process; None where none can be made.

    Args:
        max_bytes: of memory, page cache and tmpfs included, where the group may limit it.
        max_tasks: processes and threads, where the group may limit them.
        parents: where to make it; None for the usual places.
    """
    for parent in find_parents() if parents is None else parents:
        group = parent / f"{PREFIX}{os.getpid()}"
        with contextlib.suppress(OSError):
            _remove_abandoned(parent)
            group.mkdir()
            # Which of these files are there depends on the controllers that the parent passes on.
            for name, value in (("memory.max", max_bytes), ("pids.max", max_tasks)):
                if value is not None:
                    _write(group / name, str(value))
            _write(group / "memory.swap.max", "0")
            _write(group / "memory.oom.group", "1")
            return group
    return None


def enter_group(group: Path | None) -> None:
    """Move this process into a group; it stays outside where it may not."""
    if group is not None:
        _write(group / "cgroup.procs", "0")


def ran_out_of_memory(group: Path | None) -> bool:
    """Whether the kernel has killed something in a group because of its memory."""
    with contextlib.suppress(OSError):
        if group is not None:
            events = dict(line.split() for line in (group / "memory.events").read_text().splitlines())
            return events.get("oom_kill", "0") != "0"
    return False


def kill_group(group: Path | None) -> None:
    """Kill every process in a group of this package's (Linux 5.14); elsewhere nothing happens."""
    if group is not None and group.name.startswith(PREFIX):
        _write(group / "cgroup.kill", "1")


def remove_group(group: Path | None) -> None:
    """Remove a group in which nothing lives any more; it takes the kernel a moment to say so."""
    give_up = time.monotonic() + _REMOVE_SECONDS
    while group is not None and group.is_dir() and time.monotonic() < give_up:
        with contextlib.suppress(OSError):
            group.rmdir()
            return
        time.sleep(0.001)


def end_group_of(supervisor: int) -> None:
    """Kill and remove the group that a supervisor has left behind."""
    for parent in find_parents():
        group = parent / f"{PREFIX}{supervisor}"
        if group.is_dir():
            kill_group(group)
            remove_group(group)


def find_parents() -> list[Path]:
    """Return the groups in which one may be made: above this process's own, which may pass controllers on, and that."""
    try:
        mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        own = next(line for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
        root = Path(next(fields[4] for fields in mounts if fields[fields.index("-") + 1] == "cgroup2"))
    except (OSError, StopIteration):
        return []
    group = root / own.removeprefix("0::").strip("/")
    return [each for each in ([group] if group == root else [group.parent, group]) if os.access(each, os.W_OK)]


def _remove_abandoned(parent: Path) -> None:
    """Remove the groups of supervisors that were killed. One in which something lives cannot be removed."""
    for each in parent.glob(f"{PREFIX}*"):
        if not Path(f"/proc/{each.name.removeprefix(PREFIX)}").exists():
            with contextlib.suppress(OSError):
                each.rmdir()


def _write(file: Path, text: str) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(file, os.O_WRONLY)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)
