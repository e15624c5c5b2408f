"""Read what the worker prints, up to a cap. Standard library only."""

from __future__ import annotations

import os
import select
import sys
import threading
from typing import IO

_CLOSE_SECONDS = 0.5


class OutputReader:
    """Reads a pipe in a thread and keeps the first `max_bytes`.

    At the cap it stops reading and sets `flooded`: the pipe fills up, the writer has to wait, and the thread that
    waits for a reply sees the flag and ends the worker.
    """

    def __init__(self, pipe: IO[bytes], max_bytes: int) -> None:
        self._pipe = pipe
        self._most_bytes = max_bytes
        self._data = bytearray()
        self.flooded = False
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._drain, name="attn-worker-output", daemon=True)
        self._thread.start()

    @property
    def text(self) -> str:
        """The output so far. Bytes that are not UTF-8 become replacement characters."""
        return bytes(self._data).decode("utf-8", "replace")

    def close(self) -> None:
        """Read what is left, for a moment, then close the pipes. The worker should be dead."""
        # An escaped process may hold the other end open: then the wake-up pipe ends the thread.
        self._thread.join(_CLOSE_SECONDS)
        os.close(self._wake_write)
        self._thread.join(_CLOSE_SECONDS)
        # Windows cannot wait for two pipes; a thread that still reads there keeps its pipe and ends with it.
        if not self._thread.is_alive():
            self._pipe.close()
        os.close(self._wake_read)

    def _drain(self) -> None:
        descriptor = self._pipe.fileno()
        while True:
            if sys.platform != "win32":
                # poll, not select: descriptors above 1023 are ordinary in a long test session.
                poll = select.poll()
                poll.register(descriptor, select.POLLIN)
                poll.register(self._wake_read, select.POLLIN)
                ready = {number for number, _ in poll.poll()}
                if descriptor not in ready:
                    return
            part = os.read(descriptor, min(1 << 16, self._most_bytes + 1 - len(self._data)))
            if not part:
                return
            self._data += part
            if len(self._data) > self._most_bytes:
                del self._data[self._most_bytes :]
                self.flooded = True
                return
