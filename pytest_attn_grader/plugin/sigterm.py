"""End a run on SIGTERM as Ctrl-C does, so that its report is still written; CI and batch systems send SIGTERM."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class Terminated(KeyboardInterrupt):
    """Raised on SIGTERM; pytest ends as it does after Ctrl-C."""


class GracefulTermination:
    """A handler of SIGTERM, unless the process has another one already."""

    def __init__(self) -> None:
        self.signalled = False
        self._before: Any = None

    def install(self) -> None:
        """Install the handler, where that is possible: in the main thread only."""
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            self._before = signal.signal(signal.SIGTERM, self._on_sigterm)

    def uninstall(self) -> None:
        """Restore the handler from before."""
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
            self._before = None

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        # Only the first: a second one must not interrupt the writing of the report.
        if not self.signalled:
            self.signalled = True
            raise Terminated
