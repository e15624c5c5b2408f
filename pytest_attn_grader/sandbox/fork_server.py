"""The grader's client of the fork server (`worker/fork_server.py`). Linux and the standard library only.

Where there is no fork server, or it has ended, a worker is started as a new process.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from typing import IO, Any

from pytest_attn_grader.sandbox.worker.process_tree import parent_of

# Bubblewrap runs it to hold its namespaces open: it sends back what it is sent, and ends with its standard input.
NAMESPACE_HOLDER = "/bin/cat"
_PID_SECONDS = 10.0
LINE_BYTES = 1 << 12


class ForkServerUnavailableError(Exception):
    """There is no fork server, or it has ended."""


class ForkServer:
    """One fork server. Processes forked from the one that started it share it.

    Args:
        process: it, as `launch.start_fork_server` starts it.
        requests: the socket on which it is asked.

    Attributes:
        forks_into_namespaces: whether it can; False until it has been tried.
    """

    def __init__(self, process: subprocess.Popen[bytes], requests: socket.socket) -> None:
        self._process = process
        self._requests = requests
        self._started_by = os.getpid()
        self._descriptor: int | None = os.pidfd_open(process.pid)
        self.forks_into_namespaces = False

    def close(self) -> None:
        """End it; in a process forked from the one that started it, only close the socket. Its workers go on."""
        if self._descriptor is None:
            return
        self._requests.close()
        if self._started_by == os.getpid():
            self._process.kill()
            self._process.wait()
        os.close(self._descriptor)
        self._descriptor = None

    @property
    def pid(self) -> int | None:
        """Its process id; None once it has ended: the number may be another process's by now."""
        if self._descriptor is None:
            return None
        return None if _is_readable(self._descriptor, 0.0) else self._process.pid

    def fork_worker(
        self, config: Mapping[str, Any], connection: socket.socket, control: socket.socket, handle: socket.socket
    ) -> ForkedProcess:
        """Have a worker forked; does not wait for it.

        Args:
            config: what the worker is to know.
            connection: its end of the wire.
            control, handle: our and its end of its supervisor's standard input.

        Raises:
            ForkServerUnavailableError: the fork server has ended.
        """
        if self._descriptor is None:
            raise ForkServerUnavailableError("it has ended")
        printed, output = os.pipe()
        myself = os.pidfd_open(os.getpid())
        try:
            # Past the process that forks, which is not to know what it forks for.
            control.sendall(json.dumps(config).encode() + b"\n")
            socket.send_fds(self._requests, [b"\n"], [connection.fileno(), handle.fileno(), output, myself])
        except OSError as error:
            os.close(printed)
            raise ForkServerUnavailableError(str(error)) from error
        finally:
            os.close(output)
            os.close(myself)
        return ForkedProcess(control, os.fdopen(printed, "rb", buffering=0), server=self)


class ForkedProcess:
    """The part of `subprocess.Popen` that is needed, for a supervisor that is not a child of this process.

    The supervisor writes its process id, and at its end the worker's exit code, to its standard input.
    """

    stdin = None

    def __init__(self, control: socket.socket, stdout: IO[bytes], *, server: ForkServer) -> None:
        self.stdout = stdout
        self._server = server
        self.note = ""
        self._pid: int | None = None
        self._control = control
        self._said = bytearray()
        self._open = True
        self._status: int | None = None
        self._descriptor: int | None = None

    @property
    def parent(self) -> int | None:
        """The fork server's process id; None once that has ended."""
        return self._server.pid

    @property
    def pid(self) -> int | None:
        """Its number; None when it never said so, or named a process that the fork server has not forked."""
        deadline = time.monotonic() + _PID_SECONDS
        while self._open and b"\n" not in self._said and time.monotonic() < deadline:
            self._listen(deadline - time.monotonic())
        return self._pid

    def poll(self) -> int | None:
        """The exit code once it has ended, negative for a signal; as `subprocess.Popen.poll`."""
        while self._open and self._listen(0.0):
            pass
        return self._status

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended; as `subprocess.Popen.wait`.

        Raises:
            subprocess.TimeoutExpired: it has not ended within `timeout` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._open:
            left = None if deadline is None else deadline - time.monotonic()
            if not self._listen(left) and left is not None and left <= 0:
                raise subprocess.TimeoutExpired("worker", timeout or 0.0)
        assert self._status is not None
        return self._status

    def kill(self) -> None:
        """Kill it; does nothing while it is not known which process it is."""
        if self._descriptor is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def _listen(self, seconds: float | None) -> bool:
        """Take in what it says; False when there is nothing within this time. At its end close everything."""
        if not _is_readable(self._control, seconds):
            return False
        try:
            part = self._control.recv(LINE_BYTES)
        except OSError:
            part = b""
        self._said += part
        if self._descriptor is None and b"\n" in self._said:
            self._identify()
        if not part:
            self._end()
        return True

    def _identify(self) -> None:
        """Hold on to the process that it says it is, if that is a child of the fork server."""
        words = self._said.split(b"\n")[0].split()
        number = int(words[1]) if len(words) == 2 and words[0] == b"pid" and words[1].isdigit() else 0
        if number <= 1:
            return
        with contextlib.suppress(OSError, OverflowError):
            descriptor = os.pidfd_open(number)
            # Asked once the descriptor holds on to it, so the answer is about the same process.
            if self.parent is not None and parent_of(number) == self.parent:
                self._pid, self._descriptor = number, descriptor
            else:
                os.close(descriptor)

    def _end(self) -> None:
        self._open = False
        status, self.note = parse_end(self._said.partition(b"\n")[2])
        # No exit message means the process was killed.
        self._status = -signal.SIGKILL if status is None else status
        if self._descriptor is not None:
            # It has closed its end, and is gone in a moment.
            _is_readable(self._descriptor, _PID_SECONDS)
            os.close(self._descriptor)
            self._descriptor = None


def parse_end(line: bytes | bytearray) -> tuple[int | None, str]:
    """Return the worker's exit code and the note in a supervisor's last line; of any other line None and ""."""
    word, code, note, *_ = [*line.decode("ascii", "replace").split(), "", "", ""]
    return (int(code), note) if word == "ended" and code.lstrip("-").isdigit() else (None, "")


def _is_readable(descriptor: int | socket.socket, seconds: float | None) -> bool:
    """Wait until there is something to read, or for so many seconds; of a process descriptor that it has ended."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if seconds is None else max(0.0, seconds) * 1000))


def copy_program(executable: str) -> int:
    """Return a descriptor of a sealed copy of this Python.

    A worker can reach the program that it was forked as through /proc, past the read-only file system of its namespaces
    that does not hold for files opened outside: so that program cannot be written.
    """
    import fcntl

    descriptor = os.memfd_create("python", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with open(os.path.realpath(executable), "rb") as original, open(descriptor, "wb", closefd=False) as copy:
            shutil.copyfileobj(original, copy)
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


_current: ForkServer | None = None


def set_fork_server(server: ForkServer | None) -> None:
    """Have every later worker of this process, and of those forked from it, forked by this server."""
    global _current  # noqa: PLW0603 - as the model that is kept, it is there for the runs forked from this process
    _current = server


def get_fork_server() -> ForkServer | None:
    """Return the fork server that was set; None in an ordinary run."""
    return _current
