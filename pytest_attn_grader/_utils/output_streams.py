"""Let a run end with its report and its exit code where its output cannot be written: a closed pipe, a full disk."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any


class TolerantStream:
    """A text stream whose first failing write sends everything that follows to the null device.

    Args:
        stream: standard output or standard error.
        error: why the stream cannot be written, when that is known already.

    Attributes:
        error: of the first write that failed; None while everything was written.
    """

    def __init__(self, stream: Any, error: OSError | None = None) -> None:
        self._stream = stream
        self.error = error

    def write(self, text: str) -> int:
        try:
            return int(self._stream.write(text))
        except OSError as error:
            self._discard(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._discard(error)

    def _discard(self, error: OSError) -> None:
        """Connect the stream's descriptor to the null device: what is still buffered goes there too, also at exit."""
        self.error = self.error or error
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._stream.fileno())
        os.close(null)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def tolerate_lost_output() -> None:
    """Replace standard output and error by streams that never fail; a closed one by the null device."""
    for name in ("stdout", "stderr"):
        stream, error = getattr(sys, name), None
        if stream is None:
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - until the process ends
            error = OSError(errno.EBADF, os.strerror(errno.EBADF))
        if not isinstance(stream, TolerantStream):
            setattr(sys, name, TolerantStream(stream, error))


def is_output_lost() -> bool:
    """Whether something that was printed on standard output could not be written."""
    return _error_of_output() is not None


def require_written_output() -> None:
    """Make sure that standard output has everything: of a command whose result it is.

    Raises:
        OSError: something could not be written.
    """
    error = _error_of_output()
    if error is not None:
        raise OSError(error.errno, error.strerror, "standard output")


def _error_of_output() -> OSError | None:
    sys.stdout.flush()
    return sys.stdout.error if isinstance(sys.stdout, TolerantStream) else None
