"""Start the worker's process: its command line, environment and socket. Standard library only."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pytest_attn_grader.errors import SandboxUnavailableError
from pytest_attn_grader.sandbox import bubblewrap, fork_server
from pytest_attn_grader.sandbox.fork_server import ForkedProcess, ForkServer, ForkServerUnavailableError
from pytest_attn_grader.sandbox.socket_pair import make_socket_pair
from pytest_attn_grader.sandbox.worker.limits import Limits
from pytest_attn_grader.sandbox.worker.privileges import ORDINARY_USER

_PACKAGE = Path(__file__).resolve().parents[1]
WORKER = _PACKAGE / "sandbox" / "worker" / "__main__.py"

# What Python, torch and the C library need to start. Everything else (tokens, CI variables, HOME) stays outside.
KEPT_VARIABLES = frozenset(
    {
        "PATH", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC",
        "PATHEXT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH",
    }
)  # fmt: skip
# One thread: on tensors as small as a prompt's, sharing the work costs more than it saves (measured on two cores for a
# forward and backward of (1, 12, 6, 64): 0.46 ms with one thread, 3.5 ms with two that compete with the grader).
THREADS = 1
SET_VARIABLES: Mapping[str, str] = {
    "OMP_NUM_THREADS": str(THREADS),
    "MKL_NUM_THREADS": str(THREADS),
    "OPENBLAS_NUM_THREADS": str(THREADS),
    # The worker computes on the CPU; a submission that asks for CUDA finds none and falls back.
    "CUDA_VISIBLE_DEVICES": "",
    "HIP_VISIBLE_DEVICES": "",
    # torch.compile then returns what it was given: compiling takes longer than a call may, and a compiler of C++.
    "TORCHDYNAMO_DISABLE": "1",
}


_REMEDY = "free some memory or processes and try again"
_REMEDIES = {
    errno.EACCES: "let this user read and execute {} and enter the folders above it, or use another Python",
    errno.EPERM: "let this user execute {}, or use another Python",
    errno.ENOENT: "there is no {}: install Python again, or use another one",
}


def clean_environment(source: Mapping[str, str]) -> dict[str, str]:
    """Return the variables a worker gets from those the grader has."""
    kept = {
        name: value
        for name, value in source.items()
        if name.upper() in KEPT_VARIABLES or name.upper().startswith("LC_")
    }
    return {**kept, **SET_VARIABLES}


Spawned = tuple["subprocess.Popen[bytes] | ForkedProcess", socket.socket, "socket.socket | None"]


def spawn_worker(
    root: Path, import_paths: Sequence[str], limits: Limits, *, service: str, in_namespaces: bool = False
) -> Spawned:
    """Start a worker, in new namespaces if asked to; does not wait for anything.

    Where a fork server is set the worker is forked by it, and otherwise started.

    Args:
        service: the module of this package whose `start_service` answers requests there.

    Returns:
        The process, on Linux the supervisor's, whose output is that of both; our end of the socket to the worker; our
        end of the supervisor's standard input, whose end ends everything (None on Windows).

    Raises:
        SandboxUnavailableError: the system will not start a process.
    """
    if not root.is_dir():
        raise SandboxUnavailableError(f"the submission's folder {str(root)!r} is not there, so nothing can run in it")
    # The root must not come before torch: a student's torch.py would be taken for the library.
    paths = [path for path in import_paths if path and Path(path).resolve() != root.resolve()]
    code = [WORKER.parent, _PACKAGE.joinpath(*service.split(".")[:-1])]
    bwrap = bubblewrap.bwrap_command(root, paths, code) if in_namespaces else []
    config: dict[str, Any] = {
        "limits": asdict(limits),
        "root": str(root),
        "import_paths": paths,
        "threads": THREADS,
        "service": service,
        "in_namespaces": in_namespaces,
        "needed": None,
    }
    is_root = os.name == "posix" and os.geteuid() == 0
    if is_root and (not in_namespaces or not bubblewrap.unavailable_reason(user=ORDINARY_USER)):
        config["needed"] = bubblewrap.needed_places(root, paths, code)
    grader_end, worker_end = make_socket_pair()
    control: socket.socket | None = None
    process: subprocess.Popen[bytes] | ForkedProcess
    try:
        forked = _fork(config, worker_end, bwrap)
        if forked is not None:
            process, control = forked
        elif sys.platform == "win32":
            process = _spawn_on_windows(config, worker_end)
        else:
            process, control = _spawn(config, worker_end, bwrap)
    except OSError as error:
        grader_end.close()
        remedy = _REMEDIES.get(error.errno or 0, _REMEDY).format(sys.executable)
        raise SandboxUnavailableError(f"the worker process could not be started ({error}); {remedy}") from error
    finally:
        worker_end.close()
    return process, grader_end, control


def read_note(process: subprocess.Popen[bytes] | ForkedProcess, control: socket.socket | None) -> str:
    """Return why a supervisor, which has ended, ended its worker; "" when it did not."""
    if isinstance(process, ForkedProcess):
        return process.note
    if control is not None:
        control.setblocking(False)
        with contextlib.suppress(OSError):
            return fork_server.parse_end(control.recv(fork_server.LINE_BYTES))[1]
    return ""


def start_fork_server(import_paths: Sequence[str], *, service: str) -> ForkServer:
    """Start a fork server, which loads torch from these places, and the service; does not wait for it.

    Raises:
        ForkServerUnavailableError: this system has none.
    """
    if not sys.platform.startswith("linux") or not hasattr(os, "pidfd_open"):
        raise ForkServerUnavailableError("a fork server needs Linux")
    # One message is one request, also when several processes send.
    requests, server_end = make_socket_pair(socket.SOCK_SEQPACKET)
    listened_to = server_end.fileno()
    config = {"fork_server": True, "descriptor": listened_to, "import_paths": [*import_paths], "service": service}
    try:
        program = fork_server.copy_program(sys.executable)
        try:
            process = subprocess.Popen(
                _command(config, sys.executable),
                executable=f"/proc/self/fd/{program}",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd="/",
                env=clean_environment(os.environ),
                pass_fds=(program, listened_to),
                start_new_session=True,
            )
        finally:
            os.close(program)
        return ForkServer(process, requests)
    except OSError as error:
        requests.close()
        raise ForkServerUnavailableError(str(error)) from error
    finally:
        server_end.close()


def _fork(
    config: Mapping[str, Any], worker_end: socket.socket, bwrap: Sequence[str]
) -> tuple[ForkedProcess, socket.socket] | None:
    """Have the fork server fork a worker; None where there is none that can do this."""
    kept = fork_server.get_fork_server()
    if kept is None or (bwrap and not kept.forks_into_namespaces):
        return None
    wanted = {**config, "namespaces": None, "environment": {}}
    if bwrap:
        wanted["namespaces"] = [*bwrap, fork_server.NAMESPACE_HOLDER]
        wanted["environment"] = {**bubblewrap.SET_VARIABLES, "PWD": config["root"]}
    control, handle = make_socket_pair()
    with handle:
        try:
            return kept.fork_worker(wanted, worker_end, control, handle), control
        except ForkServerUnavailableError:
            control.close()
            return None


def _command(config: Mapping[str, object], executable: str) -> list[str]:
    # -I: no PYTHON* variables, no user site, no current directory. -u: what was printed before a crash is not lost.
    # -B: no __pycache__ in the student's folder. -X utf8: printing any character works.
    return [executable, "-I", "-u", "-B", "-X", "utf8", str(WORKER), json.dumps(config)]


def _spawn(
    config: dict[str, Any], worker_end: socket.socket, bwrap: Sequence[str]
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    config["descriptor"] = worker_end.fileno()
    if bwrap:
        # The supervisor stays outside and starts the rest inside; there is no second one in there.
        config["inside"] = [*bwrap, *_command({**config, "supervised": True}, sys.executable)]
    control, handle = make_socket_pair()
    try:
        process = subprocess.Popen(
            _command(config, sys.executable),
            stdin=handle.fileno(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=config["root"],
            env=clean_environment(os.environ),
            pass_fds=[worker_end.fileno()],
            start_new_session=True,
            bufsize=0,
        )
    except BaseException:
        control.close()
        raise
    finally:
        handle.close()
    return process, control


def _spawn_on_windows(config: dict[str, Any], worker_end: socket.socket) -> subprocess.Popen[bytes]:
    # A virtual environment's python.exe starts another process, whose id we could not know: start that one directly and
    # tell it where its environment is, as multiprocessing does.
    executable = getattr(sys, "_base_executable", sys.executable)
    environment = clean_environment(os.environ)
    if executable != sys.executable:
        environment["__PYVENV_LAUNCHER__"] = sys.executable
    config["share_bytes"] = 372  # the size of WSAPROTOCOL_INFOW
    process = subprocess.Popen(
        _command(config, executable),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=config["root"],
        env=environment,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        bufsize=0,
    )
    assert process.stdin is not None
    share = getattr(worker_end, "share")(process.pid)  # noqa: B009 - the attribute exists on Windows only
    config["share_bytes"] = len(share)
    process.stdin.write(share)
    return process
