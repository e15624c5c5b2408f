"""What the grader asks the system about processes that are not its own. Standard library, and psutil where needed."""

from __future__ import annotations

import contextlib
from pathlib import Path


def kill_children(pid: int) -> None:
    """Kill what is still below a process, where nobody else does; what has got itself another parent stays."""
    with contextlib.suppress(ImportError):
        import psutil

        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    child.kill()


def peak_rss_bytes(pid: int) -> int | None:
    """Return the most memory that a process has held; None where nobody knows."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    with contextlib.suppress(ImportError):
        import psutil

        with contextlib.suppress(psutil.Error):
            memory = psutil.Process(pid).memory_info()
            return int(getattr(memory, "peak_wset", memory.rss))
    return None
