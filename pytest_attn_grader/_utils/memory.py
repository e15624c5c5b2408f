"""The most memory that a process has held."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path


def peak_rss_bytes(pid: int | None = None) -> int | None:
    """Resident memory of a process (by default this one) at its highest, in bytes; None where it is unknown.

    On Linux not `getrusage`: its figure survives `exec`, so a small program started by a large one shows that one's.
    """
    pid = os.getpid() if pid is None else pid
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "darwin" and pid == os.getpid():
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    import psutil

    with contextlib.suppress(psutil.Error):
        memory = psutil.Process(pid).memory_info()
        return int(getattr(memory, "peak_wset", memory.rss))
    return None
