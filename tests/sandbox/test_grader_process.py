"""The grader's process while a worker lives: its memory is closed, and it kills what a dead supervisor leaves."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.sandbox import grader_process
from pytest_attn_grader.sandbox.worker import process_tree
from pytest_attn_grader.submission.remote.arguments import TensorRef
from pytest_attn_grader.submission.remote.messages import CallSpec
from tests.support.processes import wait_until_ended
from tests.support.sandboxes import MakeRemote, left_in, make_worker, run_as
from tests.support.students import REFERENCE

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="subreapers are Linux's")
QUERY = (("query", TensorRef("query")),)


def test_memory_is_closed_and_orphans_are_adopted_while_a_worker_lives(tmp_path: Path) -> None:
    before = grader_process._read_state()
    with make_worker(tmp_path), make_worker(tmp_path):
        assert grader_process._read_state() == (0, 1)
    assert grader_process._read_state() == before


def test_a_forked_process_is_protected_for_itself(tmp_path: Path) -> None:
    """The kernel does not pass "subreaper" on to a child; the count of workers is passed on."""
    with make_worker(tmp_path):
        pid = os.fork()
        if pid == 0:
            grader_process.protect_grader()
            os._exit(0 if grader_process._read_state() == (0, 1) else 1)
        assert os.waitpid(pid, 0)[1] == 0


# Starts a process that loses its parent and becomes this one's child, as student code does whose supervisor is dead.
ORPHAN = """
import os, sys, time
sys.path.insert(0, {path!r})
from pytest_attn_grader.sandbox.worker import privileges
os.setsid()
if {restricted}:
    privileges.drop_privileges()
if os.fork():
    os._exit(0)
if os.fork():
    time.sleep(1000)
time.sleep(1000)
"""


@pytest.fixture
def adopting() -> Iterator[None]:
    grader_process.protect_grader()
    yield
    grader_process.unprotect_grader()


def start_orphan(root: Path, *, restricted: bool) -> list[psutil.Process]:
    before = set(process_tree.children_of(os.getpid()))
    code = ORPHAN.format(path=str(root), restricted=restricted)
    subprocess.run([sys.executable, "-c", code], check=True)
    (orphan,) = set(process_tree.children_of(os.getpid())) - before
    give_up = time.monotonic() + 10
    while len(found := [psutil.Process(orphan), *psutil.Process(orphan).children()]) < 2:
        assert time.monotonic() < give_up
        time.sleep(0.01)
    return found


def test_what_student_code_left_is_killed(adopting: None, pytestconfig: pytest.Config) -> None:
    orphans = start_orphan(pytestconfig.rootpath, restricted=True)
    process_tree.kill_orphans(os.getpid())
    assert not wait_until_ended(orphans)
    assert orphans[0].pid not in process_tree.children_of(os.getpid()), "it was reaped"


def test_a_process_of_somebody_else_is_left_alone(adopting: None, pytestconfig: pytest.Config) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], start_new_session=True) as ordinary:
        orphans = start_orphan(pytestconfig.rootpath, restricted=False)
        try:
            process_tree.kill_orphans(os.getpid())
            assert ordinary.poll() is None
            assert all(each.is_running() for each in orphans)
        finally:
            ordinary.kill()
            for each in orphans:
                each.kill()
            orphans[0].wait()


OUTLIVES = """
import ctypes, os, signal, time
def attention(query):
    ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)  # do not die with the supervisor
    supervisor = os.getppid()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True:
                time.sleep(0.05)
        os._exit(0)
    print("ready", flush=True)
    time.sleep(1000)
"""


def ready(remote: object) -> None:
    give_up = time.monotonic() + 20
    while "ready" not in remote.captured_output:  # type: ignore[attr-defined]
        assert time.monotonic() < give_up
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_supervisor_that_is_killed_or_stopped_changes_nothing(
    number: signal.Signals, remote_over: MakeRemote, tmp_path: Path
) -> None:
    """From outside, because a kernel with Landlock does not let the submission do it."""
    remote = remote_over(OUTLIVES, call_seconds=4)
    remote.describe(path=str(tmp_path / "student.py"))
    process = remote._running()._process
    assert isinstance(process, subprocess.Popen)
    import threading

    def strike() -> None:
        ready(remote)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)

    striker = threading.Thread(target=strike)
    striker.start()
    started = time.monotonic()
    with pytest.raises(SubmissionError) as caught:
        remote.call(CallSpec("attention", QUERY), {"query": torch.zeros(1)})
    striker.join()
    assert time.monotonic() - started < 4 + 3
    assert caught.value.name in {"timeout", "crashed", "malformed-reply"}
    assert not left_in(tmp_path)


# The kernel gives the files of a process below /proc to root while its memory is closed.
WATCHES = """
import json, os, subprocess, sys, tempfile, time
import psutil
from pathlib import Path

kind, submission = sys.argv[1:]
assert os.stat("/proc/self/mem").st_uid == os.geteuid() != 0
with tempfile.TemporaryDirectory() as folder:
    student = Path(folder, "class", "alder", "attention.py")
    student.parent.mkdir(parents=True)
    student.write_text(submission)
    command = {
        "xdist": ["-m", "pytest", "-n", "1", f"--attn-student={student}", "--attn-model=mini", "-k", "contract"],
        "class": ["-m", "pytest_attn_grader.cli.app", "grade", str(student.parents[1]), "--out", f"{folder}/out",
                  "--model=mini", "--processes=1"],
    }[kind]
    environment = {**os.environ, "HOME": folder, "PYTHONDONTWRITEBYTECODE": "1"}
    closed = set()
    with subprocess.Popen([sys.executable, *command], cwd=folder, env=environment, stdout=2) as grader:
        while grader.poll() is None:
            for each in [psutil.Process(grader.pid), *psutil.Process(grader.pid).children(recursive=True)]:
                try:
                    if os.stat(f"/proc/{each.pid}/mem").st_uid == 0:
                        closed.add(" ".join(each.cmdline()))
                except (OSError, psutil.Error):
                    pass
            time.sleep(0.05)
print(json.dumps(sorted(closed)))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "writers"), [("xdist", ["-m pytest -n 1"]), ("class", [".app grade", ".fork_server"])]
)
def test_every_process_that_writes_a_report_is_closed(kind: str, writers: list[str]) -> None:
    """The controller of an xdist run and a class have no worker; so they have to ask for it themselves."""
    closed = json.loads(run_as("ordinary", WATCHES, kind, REFERENCE).splitlines()[-1])
    for writer in writers:
        assert any(writer in command for command in closed), closed
