"""A run that is told to end (SIGTERM, as CI and batch systems do it) still writes its report."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class Terminated(KeyboardInterrupt):
    """SIGTERM has come; pytest ends as it does after Ctrl-C."""


class GracefulTermination:
    """From `begin` to `end` SIGTERM ends pytest like Ctrl-C, unless somebody else has taken the signal."""

    def __init__(self) -> None:
        self.signalled = False
        self._before: Any = None

    def begin(self) -> None:
        """Take the signal, where that is possible (in the main thread only)."""
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            self._before = signal.signal(signal.SIGTERM, self._on_sigterm)

    def end(self) -> None:
        """Give it back."""
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
            self._before = None

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        # Once: a second one, while the report is being written, must not break that off.
        if not self.signalled:
            self.signalled = True
            raise Terminated
