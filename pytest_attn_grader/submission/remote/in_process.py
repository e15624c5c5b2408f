"""The in-process worker of ``--attn-sandbox=none``, so that a debugger can stop in the student's code.

Nothing is contained and no limit holds. The operations are the worker's own, called where a frame would have been sent.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.sandbox.worker.limits import Limits
from pytest_attn_grader.sandbox.worker_process import WorkerProcess
from pytest_attn_grader.submission.worker import SERVICE

if TYPE_CHECKING:
    from torch import Tensor

    from pytest_attn_grader.submission.worker.service import Service


class InProcessWorker(WorkerProcess):
    """Has the interface of `WorkerProcess` and runs everything in the calling process."""

    def __init__(
        self, *, root: Path, import_paths: Sequence[str], limits: Limits, module: ModuleType | None = None
    ) -> None:
        super().__init__(root=root, import_paths=import_paths, limits=limits, service=SERVICE)
        self._module = module
        self._service: Service | None = None
        self._closed = False

    def start(self) -> None:
        """Nothing is started: torch is loaded with the first request."""

    def _exchange(
        self, header: Mapping[str, Any], tensors: Mapping[str, Tensor], seconds: float
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Answer here; `seconds` holds for a live object only, and where the system has a timer.

        Raises:
            KeyboardInterrupt: the stop button, or Ctrl-C, while the submission was running.
        """
        from pytest_attn_grader.submission.worker.service import Service

        if self._service is None:
            # At the end, so that no file of the student's takes the place of a library.
            sys.path.append(str(self.root))
            self._service = Service(self.root, self.limits.reply_bytes, self._module)
        with _time_limit(seconds) if self._module is not None else contextlib.nullcontext():
            return self._service.answer(dict(header), dict(tensors), raises=(KeyboardInterrupt, SubmissionError))

    def wait_until_ready(self, seconds: float | None = None) -> None:
        """It is ready until it is closed."""
        if self._closed:
            raise RuntimeError("this worker is closed")

    @property
    def unenforced(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(asdict(self.limits))

    @property
    def usable(self) -> bool:
        """True until it is closed."""
        return not self._closed

    @property
    def ended(self) -> bool:
        """True once it is closed."""
        return self._closed

    def kill(self) -> None:
        """Forget the submission's objects; its modules stay loaded."""
        self._closed = True
        self._service = None
        with contextlib.suppress(ValueError):
            sys.path.remove(str(self.root))


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Interrupt Python code after a time, in the main thread of a system with SIGALRM; elsewhere nothing happens.

    Raises:
        SubmissionError: the time was over.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise SubmissionError("timeout", f"After {seconds:g} s the call had not ended and was stopped.")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
