"""Let a run end with its report and its exit code where its output cannot be written: a closed pipe, a full disk."""

from __future__ import annotations

import os
import sys
from typing import Any


class TolerantStream:
    """A text stream whose first failing write sends everything that follows to the null device.

    Args:
        stream: standard output or standard error.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return int(self._stream.write(text))
        except OSError:
            self._discard()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._discard()

    def _discard(self) -> None:
        """Connect the stream's descriptor to the null device: what is still buffered goes there too, also at exit."""
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._stream.fileno())
        os.close(null)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def tolerate_lost_output() -> None:
    """Replace standard output and error by streams that never fail; a closed one by the null device."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - until the process ends
        if not isinstance(stream, TolerantStream):
            setattr(sys, name, TolerantStream(stream))
