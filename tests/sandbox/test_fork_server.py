"""Workers forked from a fork server keep every promise that started ones keep."""

from __future__ import annotations

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

from pytest_attn_grader.errors import SandboxUnavailableError, SubmissionError
from pytest_attn_grader.sandbox import fork_server, launch
from pytest_attn_grader.sandbox.fork_server import ForkedProcess, ForkServer, ForkServerUnavailableError
from pytest_attn_grader.submission.remote.arguments import TensorRef
from pytest_attn_grader.submission.remote.client import SandboxClient
from pytest_attn_grader.submission.remote.messages import CallSpec
from pytest_attn_grader.submission.worker import SERVICE
from tests.sandbox.conftest import check_everything_dies, each_end
from tests.support.processes import wait_until_ended
from tests.support.sandboxes import TRIED, left_in, make_worker, needs_bwrap, serving

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a fork server needs Linux"),
]
QUERY = (("query", TensorRef("query")),)
both_tiers = pytest.mark.parametrize("tier", ["process", pytest.param("bwrap", marks=needs_bwrap)])


@pytest.fixture(scope="module")
def warm() -> Iterator[ForkServer]:
    """One for the module, started with secrets about."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GITHUB_TOKEN", "s3cret")
        started = launch.start_fork_server([path for path in sys.path if path], service=SERVICE)
    started.forks_into_namespaces = True
    yield started
    started.close()


@pytest.fixture(autouse=True)
def kept(warm: ForkServer) -> Iterator[None]:
    fork_server.set_fork_server(warm)
    yield
    fork_server.set_fork_server(None)


LOOKS_AROUND = (
    f"""
import json, os, sys, pathlib, random, socket, torch
{TRIED}"""
    + """
def attention(query):
    status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
    print(json.dumps({
        "cwd": os.getcwd(), "argv": sys.argv, "first": sys.path[0], "stdin": sys.stdin.read(),
        "environment": sorted(os.environ), "secret": "s3cret" in open("/proc/self/environ").read(),
        "threads": torch.get_num_threads(),
        "descriptors": len([
            number for number in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{number}")
        ]),
        "rights": [int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")],
        "new rights": int(status["NoNewPrivs"]),
        "processes": len([name for name in os.listdir("/proc") if name.isdigit()]),
        "write beside": tried(lambda: open("new", "w")),
        "write into the program": tried(lambda: os.open("/proc/self/exe", os.O_WRONLY)),
        "write into the system": tried(lambda: open("/proc/sys/kernel/new", "w")),
        "connect": tried(lambda: socket.create_connection(("127.0.0.1", PORT), timeout=5)),
        "outside": os.path.exists(OUTSIDE), "tmp": os.listdir("/tmp"),
        "private": sorted(name for name in sys.modules if name.startswith("_attn_sandbox")),
        "drawn": random.random(),
    }))
    return query
"""
)


def look_around(root: Path, tier: str, outside: Path) -> dict[str, object]:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        source = LOOKS_AROUND.replace("OUTSIDE", repr(str(outside))).replace("PORT", str(server.getsockname()[1]))
        (root / "student.py").write_text(source)
        worker = make_worker(root, tier)
        with SandboxClient(lambda: worker) as remote:
            remote.describe(path=str(root / "student.py"))
            remote.call(CallSpec("attention", QUERY), {"query": torch.zeros(1)})
            assert worker.usable
    seen: dict[str, object] = json.loads(remote.captured_output)
    return seen


@both_tiers
def test_it_sees_what_a_started_one_sees(tier: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("elsewhere") / "answers.txt"
    outside.write_text("42")
    forked = look_around(tmp_path, tier, outside)
    fork_server.set_fork_server(None)
    (tmp_path / "new").unlink(missing_ok=True)
    started = look_around(tmp_path, tier, outside)
    assert forked.pop("drawn") != started.pop("drawn")
    if tier == "bwrap":
        # What holds the namespaces open is one more; and the program is one that cannot be written, in another way.
        assert (forked.pop("processes"), started.pop("processes")) == (3, 2)
        assert forked["rights"] == [0] * 5
        assert forked["new rights"] == 1
        assert forked["outside"] is False
        assert forked["connect"] != "done"
    else:
        # Of the machine, where others work too.
        for name in ("processes", "tmp"):
            forked.pop(name), started.pop(name)
    started.pop("rights"), forked.pop("rights")
    assert forked.pop("write into the program") != "done"
    started.pop("write into the program")
    # The fork server's own modules are loaded there too.
    private = set(forked.pop("private")) - set(started.pop("private"))  # type: ignore[call-overload]
    own = ("control_group", "fork_server", "namespaces", "process_tree", "supervisor")
    assert private <= {f"_attn_sandbox.sandbox.worker.{name}" for name in own}
    assert forked == started


@both_tiers
def test_one_leaves_nothing_for_the_next(tier: str, tmp_path: Path) -> None:
    for name, other in (("alder", "beech"), ("beech", "alder")):
        root = tmp_path / name
        root.mkdir()
        (root / "student.py").write_text(
            "import builtins, math, sys, torch\n"
            "def attention(query):\n"
            "    print(hasattr(builtins, 'left'), math.pi > 4, 'student' in sys.modules and student_of(sys.path))\n"
            "    builtins.left = math.pi = 5\n    torch.softmax = None\n    return query\n"
            f"def student_of(path): return any({other!r} in each for each in path)\n"
        )
        with SandboxClient(lambda root=root: make_worker(root, tier)) as remote:  # type: ignore[misc]
            remote.describe(path=str(root / "student.py"))
            remote.call(CallSpec("attention", QUERY), {"query": torch.zeros(1)})
        assert remote.captured_output.split()[:2] == ["False", "False"]
        assert "True" not in remote.captured_output


@both_tiers
@each_end
def test_everything_dies_with_it(tier: str, end: str, name: str | None, tmp_path: Path) -> None:
    check_everything_dies(tmp_path, tier, end, name)


@both_tiers
def test_what_only_the_sum_shows_has_a_name(tier: str, tmp_path: Path) -> None:
    source = "import os, time\ndef attention(query):\n    for _ in range(10):\n        os.fork()\n    time.sleep(100)\n"
    limits = {"call_seconds": 60, "processes": 20}
    with (
        serving(tmp_path, source, tier, **limits) as remote,
        pytest.raises(SubmissionError, match="more than 20 processes"),
    ):
        remote.call(CallSpec("attention", QUERY), {"query": torch.zeros(1)})
    assert not left_in(tmp_path)


GRADER = """
import sys, time
from pathlib import Path
from pytest_attn_grader.sandbox import fork_server, launch
from pytest_attn_grader.sandbox.worker.limits import Limits
from pytest_attn_grader.sandbox.worker_process import WorkerProcess
from pytest_attn_grader.submission.worker import SERVICE
warm = launch.start_fork_server([path for path in sys.path if path], service=SERVICE)
warm.forks_into_namespaces = True
fork_server.set_fork_server(warm)
worker = WorkerProcess(
    root=Path(sys.argv[1]),
    import_paths=sys.path,
    limits=Limits(),
    service=SERVICE,
    in_namespaces=sys.argv[2] == "bwrap",
)
worker.start()
worker.wait_until_ready()
print("ready", flush=True)
time.sleep(1000)
"""


@both_tiers
def test_a_grader_that_is_killed_takes_all_of_it_along(tier: str, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", GRADER, str(tmp_path), tier], stdout=subprocess.PIPE, text=True
    ) as grader:
        assert grader.stdout is not None
        assert grader.stdout.readline() == "ready\n"
        below = psutil.Process(grader.pid).children(recursive=True)
        assert left_in(tmp_path)
        grader.send_signal(signal.SIGKILL)
    assert not wait_until_ended(below)


def test_where_it_has_ended_a_worker_is_started(tmp_path: Path) -> None:
    ended = launch.start_fork_server([path for path in sys.path if path], service=SERVICE)
    fork_server.set_fork_server(ended)
    ended.close()
    with make_worker(tmp_path, "process") as worker:
        assert isinstance(worker._process, subprocess.Popen)
        assert worker.request({"op": "ping"}) == ({"id": 1}, {})
    with pytest.raises(ForkServerUnavailableError):
        ended.fork_worker({}, *[None] * 3)  # type: ignore[arg-type]


def test_one_that_cannot_do_namespaces_is_not_asked_for_them(
    warm: ForkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm, "forks_into_namespaces", False)
    worker = make_worker(tmp_path, "bwrap")
    worker.start()
    assert isinstance(worker._process, subprocess.Popen)
    worker.kill()


@needs_bwrap
def test_namespaces_that_cannot_be_had_are_not_the_students_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'No permissions to create a new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(SandboxUnavailableError, match="No permissions"), make_worker(tmp_path, "bwrap") as worker:
        worker.wait_until_ready()
    assert not left_in(tmp_path)


@both_tiers
def test_no_descriptor_of_the_grader_is_in_the_sandbox(tier: str, tmp_path: Path) -> None:
    """Python 3.11 does not close what `recv_fds` received; with the grader's pidfd a program could signal it."""
    with make_worker(tmp_path, tier) as worker:
        worker.wait_until_ready()
        assert isinstance(worker._process, ForkedProcess)
        assert worker._process.pid is not None
        below = psutil.Process(worker._process.pid).children(recursive=True)
        held = [(each.name(), os.readlink(link)) for each in below for link in Path(f"/proc/{each.pid}/fd").iterdir()]
    assert held
    assert not [each for each in held if "pidfd" in each[1]]


def test_it_costs_a_fork(warm: ForkServer, tmp_path: Path) -> None:
    with make_worker(tmp_path, "process") as first:
        first.wait_until_ready()
        assert isinstance(first._process, ForkedProcess)
    before = time.thread_time()
    started = time.monotonic()
    for _ in range(5):
        with make_worker(tmp_path, "process") as worker:
            worker.wait_until_ready()
    assert time.thread_time() - before < 1.0
    assert time.monotonic() - started < 5.0  # five imports of torch take ten and more
