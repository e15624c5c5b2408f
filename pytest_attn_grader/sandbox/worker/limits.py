"""Limits of a worker, and the system limits that enforce them.

Applied inside the worker after torch is loaded and before any of the student's code; depends on the standard library
only. Where a system has no such limit (Windows has none of them, macOS does not count memory) it is left out.
"""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

MEBIBYTE = 1 << 20
_CPU_GRACE_SECONDS = 5
# For each process that is allowed: the system counts threads, and other programs of the same user start some as well.
THREADS_PER_PROCESS = 8


@dataclass(frozen=True)
class Limits:
    """Limits of one worker; None means unlimited.

    Measured: a whole grading of the reference in mini takes 2 s of processor time, most of it for importing torch,
    216 MiB of private memory, one thread, no child and five descriptors. The defaults leave a wasteful one room.

    Args:
        call_seconds: wall clock of one forward or backward.
        run_seconds: wall clock of a run, from the first request to the last; counted by the client, in all workers.
        import_seconds: wall clock of importing the submission.
        start_seconds: wall clock until a fresh worker has loaded torch.
        cpu_seconds: processor time of the worker's whole life.
        memory_bytes: private memory above what torch itself takes (Linux).
        processes: processes below the worker (Linux); where the system counts a user's threads too, there may be
            `THREADS_PER_PROCESS` for each.
        open_files: highest number of open files.
        file_size_bytes: size of any file that is written.
        output_bytes: what may be printed during the worker's life.
        reply_bytes: tensors in one reply.
    """

    call_seconds: float = 10.0
    run_seconds: float | None = None
    import_seconds: float = 30.0
    start_seconds: float = 60.0
    cpu_seconds: int | None = 600
    memory_bytes: int | None = 2048 * MEBIBYTE
    processes: int | None = 64
    open_files: int | None = 256
    file_size_bytes: int | None = 64 * MEBIBYTE
    output_bytes: int = MEBIBYTE
    reply_bytes: int = 512 * MEBIBYTE

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and not value > 0:
                raise ValueError(f"Limits.{name} is {value!r}: it must be above zero, or None for no limit")


def apply_limits(limits: Limits) -> list[str]:
    """Hold this process to the limits; return the names of those that this system cannot enforce."""
    if sys.platform == "win32":
        return ["cpu_seconds", "memory_bytes", "processes", "open_files", "file_size_bytes"]
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    missing: list[str] = []
    baseline_bytes = private_memory_bytes()
    cpu_seconds = None if limits.cpu_seconds is None else limits.cpu_seconds + _CPU_GRACE_SECONDS
    wanted: list[tuple[str, int, int | None]] = [
        ("cpu_seconds", resource.RLIMIT_CPU, cpu_seconds),
        ("open_files", resource.RLIMIT_NOFILE, limits.open_files),
        ("file_size_bytes", resource.RLIMIT_FSIZE, limits.file_size_bytes),
    ]
    # RLIMIT_DATA counts private writable pages. RLIMIT_AS would count every library and reservation torch maps, which
    # differs by gigabytes between builds, and RLIMIT_RSS is not enforced.
    if limits.memory_bytes is not None and baseline_bytes is not None:
        wanted.append(("memory_bytes", resource.RLIMIT_DATA, baseline_bytes + limits.memory_bytes))
    elif limits.memory_bytes is not None:
        missing.append("memory_bytes")
    running = _running_tasks()
    if limits.processes is not None and running is not None:
        wanted.append(("processes", resource.RLIMIT_NPROC, running + limits.processes * THREADS_PER_PROCESS))
    elif limits.processes is not None:
        missing.append("processes")
    for name, which, value in wanted:
        if value is None:
            continue
        hard = resource.getrlimit(which)[1]
        # A tighter limit from outside (a container, a batch system) stays.
        limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            # SIGXCPU, which has a name in the report, at the soft limit; SIGKILL for who ignores it at the hard one.
            soft = max(limit - _CPU_GRACE_SECONDS, 1) if name == "cpu_seconds" else limit
            resource.setrlimit(which, (soft, limit))
        except (OSError, ValueError):
            missing.append(name)
    return missing


def private_memory_bytes() -> int | None:
    """Return what RLIMIT_DATA counts for this process now, or None where the system does not say."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    return None


def _running_tasks() -> int | None:
    """Count this user's processes and threads, which is what RLIMIT_NPROC counts, or None without /proc."""
    total = 0
    try:
        entries = [entry for entry in os.scandir("/proc") if entry.name.isdigit()]
    except OSError:
        return None
    for entry in entries:
        # A process may end while it is looked at.
        with contextlib.suppress(OSError):
            if entry.stat().st_uid == os.getuid():
                total += len(os.listdir(f"/proc/{entry.name}/task"))
    return total
