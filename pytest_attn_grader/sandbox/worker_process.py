"""The grader's handle on one worker process. Standard library only, so that it can start before torch is imported.

Whatever the student's code causes comes out of `WorkerProcess.request` as a `SubmissionError` with a name of the
report; after a timeout, a crash, a flood or a malformed reply the worker and everything below it is dead.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_attn_grader._utils.memory import peak_rss_bytes
from pytest_attn_grader.errors import SandboxUnavailableError, SubmissionError
from pytest_attn_grader.sandbox.exit_reasons import (
    OPERATIONS,
    WIRE_REMEDY,
    from_exit_status,
    from_flood,
    from_restarts,
    from_supervisor_note,
    from_timeout,
    student_failure,
)
from pytest_attn_grader.sandbox.fork_server import ForkedProcess
from pytest_attn_grader.sandbox.grader_process import protect_grader, unprotect_grader
from pytest_attn_grader.sandbox.launch import read_note, spawn_worker
from pytest_attn_grader.sandbox.output_reader import OutputReader
from pytest_attn_grader.sandbox.signals import end_worker, wait_unless_stopped
from pytest_attn_grader.sandbox.worker import process_tree, protocol
from pytest_attn_grader.sandbox.worker.limits import Limits

if TYPE_CHECKING:
    from torch import Tensor

_GREETING_SECONDS = _STATUS_SECONDS = 1.0


class WorkerProcess:
    """One process that runs one submission.

    Args:
        root: the submission's folder; working directory and first entry of ``sys.path`` there.
        import_paths: where torch and other libraries are found, beyond the interpreter's own places (``sys.path``).
        limits: what the student's code may use.
        service: the module of this package that answers there.
        in_namespaces: put it into new namespaces (bubblewrap), which must work here.
    """

    def __init__(
        self, *, root: Path, import_paths: Sequence[str], limits: Limits, service: str, in_namespaces: bool = False
    ) -> None:
        self.root = Path(root).resolve()
        self.import_paths = tuple(import_paths)
        self.limits = limits
        self.service = service
        self.in_namespaces = in_namespaces
        self.hello: dict[str, Any] | None = None
        self._process: subprocess.Popen[bytes] | ForkedProcess | None = None
        self._connection: socket.socket | None = None
        self._control: socket.socket | None = None
        self._pid: int | None = None
        self._output: OutputReader | None = None
        self._note = ""
        self._peak_rss_bytes: int | None = None
        self._started = 0.0
        self._number = 0
        # Autograd may call from another thread.
        self._lock = threading.RLock()

    def __enter__(self) -> WorkerProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start the process and return at once; the first request waits until it is ready."""
        if self._process is not None:
            raise RuntimeError("a WorkerProcess starts once; make a new one")
        self._started = time.monotonic()
        protect_grader()
        try:
            self._process, self._connection, self._control = spawn_worker(
                self.root, self.import_paths, self.limits, service=self.service, in_namespaces=self.in_namespaces
            )
        except BaseException:
            unprotect_grader()
            raise
        assert self._process.stdout is not None
        self._output = OutputReader(self._process.stdout, self.limits.output_bytes)

    def request(
        self,
        header: Mapping[str, Any],
        tensors: Mapping[str, Tensor] | None = None,
        *,
        seconds: float | None = None,
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Send one request and return the reply's header and tensors.

        Args:
            header: the operation and its arguments, JSON-ready.
            tensors: contiguous, on the CPU.
            seconds: wall clock for all of it, `Limits.call_seconds` unless given.

        Raises:
            SubmissionError: the student's code failed; `usable` tells whether this worker can go on.
            SandboxUnavailableError: the worker never came up, which is not the student's fault.
            RuntimeError: this worker is not running (not started, or ended by an earlier failure).
        """
        with self._lock:
            self.wait_until_ready()
            self._number += 1
            limit = self.limits.call_seconds if seconds is None else seconds
            reply, received = self._exchange({**header, "id": self._number}, tensors or {}, limit)
            if reply.get("failure") is None:
                return reply, received
            error = student_failure(reply["failure"])
            if error is None:
                self.kill()
                message = "The worker reported a failure that cannot be read."
                error = SubmissionError("malformed-reply", message, remedy=WIRE_REMEDY)
            raise error

    def wait_until_ready(self, seconds: float | None = None) -> None:
        """Return once it has loaded torch.

        Args:
            seconds: what is left of the run, if that is less than a start may take.

        Raises:
            SubmissionError: `timeout`, when the run is over before.
            SandboxUnavailableError: the worker never came up, which is not the student's fault.
            RuntimeError: this worker is not running.
        """
        with self._lock:
            if self._connection is None:
                raise RuntimeError("this worker is not running: it was not started, or an earlier failure ended it")
            if self.hello is None:
                self._receive_greeting(self._connection, seconds)

    @property
    def unenforced(self) -> tuple[str, ...]:
        """The limits that this system does not hold the worker to; empty before it is ready."""
        return tuple(self.hello["unenforced"]) if self.hello is not None else ()

    @property
    def usable(self) -> bool:
        """True from `start` until a failure or `kill` ended the worker; whether it would answer is not known."""
        return self._connection is not None

    @property
    def ended(self) -> bool:
        """True once a failure or `kill` has ended it: it will never answer again."""
        return self._process is not None and self._connection is None

    @property
    def alive(self) -> bool:
        """True while the process runs."""
        return self.usable and self._process is not None and self._process.poll() is None

    @property
    def captured_output(self) -> str:
        """The output of the submission, its C code and its child processes, cut at `Limits.output_bytes`."""
        return "" if self._output is None else self._output.text

    @property
    def peak_rss_bytes(self) -> int | None:
        """The most memory the worker has held (its last known value once it is dead); None where it is not known."""
        self._sample_memory()
        return self._peak_rss_bytes

    def _sample_memory(self) -> None:
        """Remember the peak so far; it cannot be read once the process has ended."""
        if self.alive and self._pid is not None:
            self._peak_rss_bytes = peak_rss_bytes(self._pid) or self._peak_rss_bytes

    def kill(self) -> None:
        """End the worker and everything below it: no process, descriptor or thread is left. May be called again."""
        with self._lock:
            if self._process is None or self._connection is None:
                return
            self._sample_memory()
            # Before its greeting nothing of the student's has run; and without a supervisor nothing listens.
            supervised = self.hello is not None and self.hello["pid"] != self._process.pid
            end_worker(self._process, self._control, supervised=supervised)
            unprotect_grader()
            self._connection.close()
            self._connection = None
            self._note = read_note(self._process, self._control)
            if self._control is not None:
                self._control.close()
                self._control = None
            if self._output is not None:
                self._output.close()

    def _receive_greeting(self, connection: socket.socket, seconds: float | None) -> None:
        # The greeting may have been waiting for long: there is always a moment to read it.
        latest = max(self._started + self.limits.start_seconds, time.monotonic() + _GREETING_SECONDS)
        deadline = latest if seconds is None else min(latest, time.monotonic() + seconds)
        try:
            self.hello, _ = protocol.receive_frame(
                connection, max_payload_bytes=0, deadline=deadline, on_wait=self._check_alive
            )
        except (protocol.WireError, SubmissionError) as error:
            # None of the student's code has run yet, so this is not the student's fault.
            self.kill()
            if deadline < latest and isinstance(error, protocol.WireError) and error.fault == "late":
                raise from_restarts() from error
            last = "; ".join(self.captured_output.strip().splitlines()[-3:]) or "it printed nothing"
            raise SandboxUnavailableError(
                f"the worker did not come up within {self.limits.start_seconds:g} s ({error}): {last}"
            ) from error
        assert self._process is not None
        own_pid = self.hello["pid"]
        self._pid = own_pid
        if self.in_namespaces:
            above = self._process.pid
            self._pid = None if above is None else process_tree.host_pid(own_pid, above)
        self._sample_memory()

    def _exchange(
        self, header: Mapping[str, Any], tensors: Mapping[str, Tensor], seconds: float
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        assert self._connection is not None
        payload = protocol.encode_tensors(tensors)
        deadline = time.monotonic() + seconds
        try:
            self._check_alive()
            protocol.send_frame(self._connection, header, payload, deadline=deadline, on_wait=self._check_alive)
            reply, data = protocol.receive_frame(
                self._connection,
                max_payload_bytes=self.limits.reply_bytes,
                deadline=deadline,
                on_wait=self._check_alive,
            )
            if reply.get("id") != header["id"]:
                raise protocol.WireError(
                    "malformed", f"a reply to request {reply.get('id')!r} instead of {header['id']}"
                )
            return reply, protocol.decode_tensors(data)
        except protocol.WireError as error:
            raise self._end(error, header, seconds) from error
        except BaseException:
            # A flood, a death that was noticed, Ctrl-C: the exchange is half done, so this worker is of no more use.
            self.kill()
            raise

    def _check_alive(self) -> None:
        """Raise when the worker floods its output or has ended (a child may hold the socket); called while waiting."""
        assert self._process is not None
        assert self._output is not None
        if self._output.flooded:
            raise from_flood(self.limits)
        if self._process.poll() is not None:
            # What it said before it ended may still be in the socket; without anything there this is the end.
            assert self._connection is not None
            self._connection.setblocking(False)
            # Nothing to read (an escaped child holds the other end) and a broken connection are the same news.
            with contextlib.suppress(OSError):
                if self._connection.recv(1, socket.MSG_PEEK):
                    return
            raise protocol.WireError("closed", "the process has ended")

    def _end(self, error: protocol.WireError, header: Mapping[str, Any], seconds: float) -> SubmissionError:
        """Kill the worker and say what the fault on the wire means in terms of the student's code."""
        assert self._process is not None
        if error.fault == "closed":
            # The supervisor passes the status on once it has cleaned up below the worker. A worker that lives and has
            # closed its socket has none.
            wait_unless_stopped(self._process, _STATUS_SECONDS)
        status = self._process.poll()
        flooded = self._output is not None and self._output.flooded
        self.kill()
        doing = OPERATIONS.get(header["op"], "the call")
        if flooded:
            return from_flood(self.limits)
        if error.fault == "late":
            return from_timeout(header["op"], seconds)
        too_much = from_supervisor_note(self._note, doing, self.limits)
        if error.fault == "closed" and too_much is not None:
            return too_much
        if error.fault == "closed" and status is not None:
            if self.in_namespaces and status > 128:
                status = 128 - status  # bubblewrap passes a signal on as a shell does
            return from_exit_status(status, doing, self.limits)
        message = f"What came back from {doing} cannot be read: {error}."
        return SubmissionError("malformed-reply", message, remedy=WIRE_REMEDY)
