"""No process is signalled by a number that is not known to be ours: every function that kills is given such numbers.

The calls that send signals are replaced before anything is tried, so that a fault shows here and nowhere else.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import psutil
import pytest

from pytest_attn_grader.cli.grade.runners import ForkServerRunner
from pytest_attn_grader.sandbox.fork_server import ForkedProcess, ForkServer
from pytest_attn_grader.sandbox.grader_process import protect_grader
from pytest_attn_grader.sandbox.signals import kill_group
from pytest_attn_grader.sandbox.worker import process_tree
from pytest_attn_grader.sandbox.worker.limits import Limits
from pytest_attn_grader.sandbox.worker_process import WorkerProcess
from pytest_attn_grader.submission.worker import SERVICE
from tests.support.processes import wait_until_ended

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="process descriptors are Linux's")
STRANGER = os.getppid()
NOT_OURS = [0, 1, -1, None, True, "7", STRANGER]
Sent = list[tuple[str, object, object]]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    """The signals that would have been sent."""
    calls: Sent = []
    for module, name in ((os, "kill"), (os, "killpg"), (signal, "pidfd_send_signal")):
        monkeypatch.setattr(module, name, lambda whom, number, name=name: calls.append((name, whom, number)))
    monkeypatch.setattr(psutil.Process, "send_signal", lambda self, number: calls.append(("psutil", self.pid, number)))
    monkeypatch.setattr(psutil.Process, "kill", lambda self: calls.append(("psutil", self.pid, signal.SIGKILL)))
    return calls


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    assert process.stdin is not None
    process.stdin.close()
    process.wait()


@pytest.mark.parametrize("number", NOT_OURS)
@pytest.mark.parametrize(
    "kill",
    [
        process_tree.kill_process_tree,
        process_tree.check_descent,
        process_tree.kill_orphans,
        lambda number: process_tree.kill_process_tree(os.getpid(), owner=number or 0),
        lambda number: process_tree.signal_below(os.getpid(), number, signal.SIGKILL),
        lambda number: process_tree.signal_below(number, STRANGER, signal.SIGKILL),
        lambda number: kill_group(number, parent=os.getpid()),
        lambda number: kill_group(os.getpid(), parent=number) if number != STRANGER else None,
    ],
    ids=["tree", "check", "orphans", "owner", "one", "root", "group", "parent"],
)
def test_a_number_that_is_not_ours_signals_nothing(kill: Callable[[object], None], number: object, sent: Sent) -> None:
    if number == STRANGER:
        # Where it is not below the process that is named, nothing happens and nothing is wrong.
        with contextlib.suppress(ValueError):
            kill(number)
    else:
        with pytest.raises(ValueError, match=r"nothing was signalled"):
            kill(number)
    assert sent == []


def test_the_run_of_a_warm_process_is_killed_only_if_it_is_its_child(
    sent: Sent, child: subprocess.Popen[bytes]
) -> None:
    runner = ForkServerRunner("mini", "cpu")
    vars(runner)["_process"] = child
    for number in (0, 1, -1, STRANGER):
        vars(runner)["_run_pid"] = number
        with pytest.raises(ValueError, match="nothing was signalled"):
            runner.stop()
    assert sent == []
    vars(runner)["_process"] = None


def test_a_child_is_ours_and_what_is_below_it(child: subprocess.Popen[bytes]) -> None:
    process_tree.check_descent(child.pid)
    process_tree.check_descent(os.getpid())
    assert process_tree.is_below(STRANGER, child.pid)
    assert process_tree.parent_of(child.pid) == os.getpid()
    with pytest.raises(ValueError, match="does not descend"):
        process_tree.check_descent(child.pid, owner=child.pid)


def test_a_tree_is_killed() -> None:
    source = "import subprocess, sys; subprocess.Popen(['sleep', '600']); print('up', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        (sleeper,) = psutil.Process(process.pid).children()
        process_tree.kill_process_tree(process.pid)
        assert not wait_until_ended([sleeper])
        assert process.poll() is None


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs memfd_create")
def test_memory_without_a_name_is_counted_once(tmp_path: Path) -> None:
    before = process_tree.deleted_bytes([os.getpid()])
    descriptor = os.memfd_create("hoard")
    copy = os.dup(descriptor)
    try:
        os.write(descriptor, bytes(1 << 20))
        (tmp_path / "named").write_bytes(bytes(1 << 20))
        with (tmp_path / "named").open("rb"):
            assert process_tree.deleted_bytes([os.getpid(), os.getpid()]) - before == 1 << 20
    finally:
        os.close(descriptor)
        os.close(copy)


@pytest.mark.parametrize("said", [b"", b"pid 0\n", b"pid 1\n", b"pid -1\n", b"pid x\n", b"pid %d\n" % STRANGER])
def test_a_supervisor_that_does_not_say_who_it_is_is_never_signalled(
    said: bytes, sent: Sent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What a worker does that stops the fork server: the supervisor is never heard of."""
    monkeypatch.setattr("pytest_attn_grader.sandbox.fork_server._PID_SECONDS", 0.05)
    monkeypatch.setattr("pytest_attn_grader.sandbox.signals._UNSUPERVISED_SECONDS", 0.05)
    control, other = socket.socketpair()
    connection, far = socket.socketpair()
    with other, far, open(os.devnull, "rb") as printed:
        process = ForkedProcess(control, printed, server=cast(ForkServer, SimpleNamespace(pid=os.getpid())))
        worker = WorkerProcess(root=tmp_path, import_paths=[], limits=Limits(), service=SERVICE)
        protect_grader()  # as `start` does; `kill` undoes it
        vars(worker).update(_process=process, _control=control, _connection=connection)
        other.sendall(said)
        assert process.pid is None
        began = time.monotonic()
        worker.kill()
        assert time.monotonic() - began < 5
        process.kill()
        assert sent == []


def test_a_supervisor_that_is_a_child_of_the_warm_sandbox_is_known(child: subprocess.Popen[bytes]) -> None:
    control, other = socket.socketpair()
    with other, open(os.devnull, "rb") as printed:
        process = ForkedProcess(control, printed, server=cast(ForkServer, SimpleNamespace(pid=os.getpid())))
        other.sendall(b"pid %d\n" % child.pid)
        assert process.pid == child.pid
        process.kill()
        child.wait(10)
        assert child.returncode == -signal.SIGKILL
        other.sendall(b"ended 0 \n")
        other.shutdown(socket.SHUT_WR)
        assert process.wait(10) == 0
    control.close()
