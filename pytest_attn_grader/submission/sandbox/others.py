"""What the grader asks the system about processes that are not its own. Standard library, and psutil where needed."""

from __future__ import annotations

import contextlib


def kill_children(pid: int) -> None:
    """Kill what is still below a process, where nobody else does; what has got itself another parent stays."""
    with contextlib.suppress(ImportError):
        import psutil

        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    child.kill()
