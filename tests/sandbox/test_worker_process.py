"""A worker process starts clean, ends completely, and takes everything it started with it."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import torch

from pytest_attn_grader.errors import SandboxUnavailableError, SubmissionError
from pytest_attn_grader.sandbox import worker_process
from pytest_attn_grader.sandbox.worker.limits import Limits
from pytest_attn_grader.sandbox.worker_process import WorkerProcess
from pytest_attn_grader.submission.remote.arguments import TensorRef
from pytest_attn_grader.submission.remote.messages import CallSpec
from pytest_attn_grader.submission.worker import SERVICE
from tests.support.processes import wait_until_ended
from tests.support.sandboxes import MakeRemote, left_in, make_worker, serving

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="sessions and descriptors are POSIX")


linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a child subreaper")


QUERY = (("query", TensorRef("query")),)


def test_a_worker_starts_at_once_and_once(tmp_path: Path) -> None:
    worker = make_worker(tmp_path)
    with pytest.raises(RuntimeError, match="not running"):
        worker.request({"op": "ping"})
    started = time.monotonic()
    worker.start()
    assert time.monotonic() - started < 0.5
    with pytest.raises(RuntimeError, match="starts once"):
        worker.start()
    assert worker.request({"op": "ping"}) == ({"id": 1}, {})
    assert worker.alive
    assert (worker.peak_rss_bytes or 0) > 50_000_000
    worker.kill()
    worker.kill()
    assert worker.ended
    assert not worker.alive
    with pytest.raises(RuntimeError, match="not running"):
        worker.request({"op": "ping"})


def test_our_own_faults_are_not_the_students(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SandboxUnavailableError, match="is not there"):
        make_worker(tmp_path / "absent").start()
    with make_worker(tmp_path, start_seconds=0.01) as worker:
        monkeypatch.setattr(worker_process, "_GREETING_SECONDS", 0.01)
        with pytest.raises(SandboxUnavailableError, match=r"0\.01 s"):
            worker.request({"op": "ping"})


def test_a_greeting_that_has_waited_long_is_still_read(tmp_path: Path) -> None:
    with make_worker(tmp_path) as worker:
        assert worker._connection is not None
        worker._connection.settimeout(60)
        worker._connection.recv(1, socket.MSG_PEEK)
        worker._started -= 1000  # the grader was busy with its model all that time
        worker.request({"op": "ping"})


@posix_only
@pytest.mark.slow
def test_nothing_is_left_after_twenty_cycles(tmp_path: Path) -> None:
    (tmp_path / "student.py").write_text("def attention(query): return query\n")

    def count() -> tuple[int, int, int]:
        gc.collect()
        own = psutil.Process()
        return own.num_fds(), threading.active_count(), len(own.children(recursive=True))

    before = count()
    for cycle in range(20):
        worker = make_worker(tmp_path)
        worker.start()
        if cycle in (0, 10):
            wanted = {"path": str(tmp_path / "student.py"), "module": None, "name": None, "definitions_only": False}
            worker.request({"op": "describe", **wanted})
        # The others are ended in the middle of starting.
        worker.kill()
    assert count() == before


ESCAPE = """
import os, sys, time, torch
def attention(query):
    child = os.fork()
    if child == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        with open("pid", "w") as file:
            file.write(str(os.getpid()))
        time.sleep(1000)
        os._exit(0)
    os.waitpid(child, 0)
    while not os.path.exists("pid") or not open("pid").read():
        time.sleep(0.01)
    {end}
    return query
"""


def wait_until_gone(pid: int) -> bool:
    try:
        return not wait_until_ended([psutil.Process(pid)], seconds=5)
    except psutil.NoSuchProcess:
        return True


@linux_only
@pytest.mark.parametrize(("end", "name"), [("os._exit(4)", "exited"), ("time.sleep(1000)", "timeout"), ("", None)])
def test_a_daemon_that_holds_the_socket_neither_hangs_us_nor_survives(
    remote_over: MakeRemote, tmp_path: Path, end: str, name: str | None
) -> None:
    remote = remote_over(ESCAPE.format(end=end), call_seconds=2)
    remote.describe(path=str(tmp_path / "student.py"))
    started = time.monotonic()
    if name is None:
        remote.call(CallSpec("attention", QUERY), {"query": torch.zeros(1)})
        remote.close()
    else:
        with pytest.raises(SubmissionError) as caught:
            remote.call(CallSpec("attention", QUERY), {"query": torch.zeros(1)})
        assert caught.value.name == name
    assert time.monotonic() - started < 4
    assert wait_until_gone(int((tmp_path / "pid").read_text()))


@posix_only
def test_a_daemon_does_not_hang_us_where_nobody_kills_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS: without a supervisor the end of the process is noticed although the socket stays open."""
    from pytest_attn_grader.sandbox import launch

    package, bare = launch.WORKER.parents[2], tmp_path / "bare"
    for part in (*package.glob("sandbox/worker/*.py"), *package.glob("submission/worker/*.py")):
        copy = bare / part.relative_to(package)
        copy.parent.mkdir(parents=True, exist_ok=True)
        text = part.read_text(encoding="utf-8")
        copy.write_text(text.replace('sys.platform.startswith("linux")', "False"), encoding="utf-8")
    monkeypatch.setattr(launch, "WORKER", bare / launch.WORKER.relative_to(package))
    root = tmp_path / "root"
    root.mkdir()
    try:
        with serving(root, ESCAPE.format(end="os._exit(4)")) as remote:
            started = time.monotonic()
            with pytest.raises(SubmissionError, match="exit code 4"):
                remote.call(CallSpec("attention", QUERY), {"query": torch.zeros(1)})
            assert time.monotonic() - started < 4
    finally:
        os.kill(int((root / "pid").read_text()), 9)


GRADER = """
import os, sys
sys.path.insert(0, {path!r})
from pathlib import Path
from pytest_attn_grader.sandbox.worker.limits import Limits
from pytest_attn_grader.sandbox.worker_process import WorkerProcess
from pytest_attn_grader.submission.worker import SERVICE
worker = WorkerProcess(root=Path({root!r}), import_paths=sys.path, limits=Limits(), service=SERVICE)
worker.start()
worker.request({{"op": "ping"}})
print(worker.hello["pid"], flush=True)
os.kill(os.getpid(), 9)
"""


@linux_only
def test_the_worker_dies_with_the_grader(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    code = GRADER.format(path=str(pytestconfig.rootpath), root=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -9
    assert wait_until_gone(int(done.stdout))


FORK_BURST = """
import os, time
def attention(query):
    for _ in range(60):
        if os.fork() == 0:
            os.setsid()
            time.sleep(1000)
    os._exit(1)
"""


@linux_only
def test_a_burst_of_children_dies_with_the_worker(remote_over: MakeRemote, tmp_path: Path) -> None:
    others = set(psutil.Process().children())  # workers of other tests live on
    remote = remote_over(FORK_BURST, call_seconds=60)  # sixty forks take a while on a busy machine
    remote.describe(path=str(tmp_path / "student.py"))
    supervisor = set(psutil.Process().children()) - others
    assert len(supervisor) == 1
    with pytest.raises(SubmissionError, match="exit code 1"):
        remote.call(CallSpec("attention", QUERY), {"query": torch.zeros(1)})
    assert not any(each.is_running() for each in supervisor)
    assert not left_in(tmp_path)


def test_a_worker_found_dead_between_calls_is_a_failure_once(remote_over: MakeRemote, tmp_path: Path) -> None:
    remote = remote_over(
        "import os, threading\n"
        "def attention(query):\n    threading.Timer(0.1, os._exit, (5,)).start()\n    return query\n"
        "def fine(query): return query\n"
    )
    remote.describe(path=str(tmp_path / "student.py"), name="fine")
    remote.call(CallSpec("attention", QUERY), {"query": torch.zeros(1)})
    time.sleep(0.5)
    with pytest.raises(SubmissionError, match="exit code 5"):
        remote.call(CallSpec("fine", QUERY), {"query": torch.zeros(1)})
    remote.call(CallSpec("fine", QUERY), {"query": torch.zeros(1)})
    assert remote.replacements == 1


def test_forged_failures_are_malformed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for forged in ({"name": "passed"}, {"name": []}, "text", 3):
        worker = WorkerProcess(root=tmp_path, import_paths=sys.path, limits=Limits(), service=SERVICE)
        monkeypatch.setattr(worker, "wait_until_ready", lambda: None)
        monkeypatch.setattr(worker, "_exchange", lambda *_, forged=forged: ({"failure": forged}, {}))
        with pytest.raises(SubmissionError) as caught:
            worker.request({"op": "ping"})
        assert caught.value.name == "malformed-reply"
