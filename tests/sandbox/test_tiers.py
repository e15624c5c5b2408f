"""Which tier is chosen and why, and what each of them lets a submission see and do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest
import torch

from pytest_attn_grader.errors import SandboxUnavailableError, SubmissionError
from pytest_attn_grader.sandbox import bubblewrap, client, run_clock
from pytest_attn_grader.sandbox.arguments import TensorRef
from pytest_attn_grader.sandbox.client import SandboxClient
from pytest_attn_grader.sandbox.in_process import InProcessWorker
from pytest_attn_grader.sandbox.messages import CallSpec
from pytest_attn_grader.sandbox.tiers import choose_tier
from pytest_attn_grader.sandbox.worker.limits import Limits
from pytest_attn_grader.sandbox.worker_process import WorkerProcess
from tests.support.sandboxes import TRIED, left_in, needs_bwrap

QUERY = (("query", TensorRef("query")),)


@pytest.mark.parametrize(
    ("requested", "required", "broken", "chosen", "words"),
    [
        ("auto", None, "", "bwrap", "the strongest there is"),
        ("auto", None, "no namespaces", "process", "no namespaces"),
        ("auto", "bwrap", "", "bwrap", "the strongest there is"),
        ("auto", "process", "no namespaces", "process", "no namespaces"),
        ("process", None, "", "process", "asked for"),
        ("process", "process", "", "process", "asked for"),
        ("bwrap", None, "", "bwrap", "asked for"),
        ("none", None, "", "none", "uncontained"),
    ],
)
def test_the_tier_and_why(
    requested: str, required: str | None, broken: str, chosen: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bubblewrap, "unavailable_reason", lambda: broken)
    tier = choose_tier(requested, required)
    assert tier.name == chosen
    assert words in tier.why


@pytest.mark.parametrize(
    ("requested", "required", "broken", "words"),
    [
        ("bwrap", None, "no namespaces", "--attn-sandbox=bwrap: no namespaces. Nothing was graded. Install bubblewrap"),
        ("auto", "bwrap", "no namespaces", "--attn-require-sandbox=bwrap: the submission would run in the sandbox"),
        ("process", "bwrap", "", "'process', which is weaker (asked for)"),
        ("none", "process", "", "'none', which is weaker"),
    ],
)
def test_nothing_weaker_takes_its_place(
    requested: str, required: str | None, broken: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bubblewrap, "unavailable_reason", lambda: broken)
    with pytest.raises(SandboxUnavailableError) as caught:
        choose_tier(requested, required)
    assert words in str(caught.value)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="bubblewrap is for Linux")
def test_a_bubblewrap_that_does_not_work_is_found_out_by_trying(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho 'bwrap: No permissions to create a new namespace' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert "No permissions to create a new namespace" in bubblewrap.unavailable_reason()
    assert choose_tier("auto").name == "process"
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert bubblewrap.unavailable_reason() == "bubblewrap is not installed"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert bubblewrap.unavailable_reason() == "bubblewrap is for Linux"


LOOKS_AROUND = (
    f"""
import json, os, pathlib, socket, torch
{TRIED}"""
    + """
def attention(query):
    with open("/tmp/mine", "w") as file:
        file.write("x")
    print(json.dumps({
        "processes": len([name for name in os.listdir("/proc") if name.isdigit()]),
        "write beside": tried(lambda: open("new", "w")),
        "write into itself": tried(lambda: open(__file__, "a")),
        "write into the system": tried(lambda: open("/usr/new", "w")),
        "write into the root": tried(lambda: os.mkdir("/new")),
        "connect": tried(lambda: socket.create_connection(("127.0.0.1", PORT), timeout=5)),
        "look up": tried(lambda: socket.getaddrinfo("example.org", 80)),
        "secret": os.path.exists(SECRET),
        "home": os.path.expanduser("~"),
        "grader": sorted(os.listdir(PACKAGE)),
        "etc": sorted(os.listdir("/etc")),
        "tmp": sorted(os.listdir("/tmp")),
        "fill": tried(lambda: [pathlib.Path(f"/tmp/{number}").write_bytes(bytes(1 << 25)) for number in range(20)]),
    }))
    return query
"""
)


@needs_bwrap
def test_in_namespaces_a_submission_sees_nothing_and_changes_nothing(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import socket

    secret = tmp_path_factory.mktemp("elsewhere") / "answers.txt"
    secret.write_text("42")
    with socket.create_server(("127.0.0.1", 0)) as server:
        source = LOOKS_AROUND.replace("SECRET", repr(str(secret))).replace("PORT", str(server.getsockname()[1]))
        source = source.replace("PACKAGE", repr(str(Path(bubblewrap.__file__).resolve().parents[1])))
        (tmp_path / "student.py").write_text(source)
        worker = WorkerProcess(root=tmp_path, import_paths=sys.path, limits=Limits(), in_namespaces=True)
        with SandboxClient(lambda: worker) as remote:
            remote.describe(path=str(tmp_path / "student.py"))
            remote.call(CallSpec("attention", QUERY), {"query": torch.zeros(1)})
            assert (remote.peak_rss_bytes or 0) > 50_000_000
        # Closed: whatever was printed has been read.
        seen = json.loads(remote.captured_output)
    assert seen["processes"] == 2  # bubblewrap and itself
    for attempt in ("write beside", "write into itself", "write into the system", "write into the root"):
        assert seen[attempt] in {"OSError", "PermissionError"}, (attempt, seen)
    assert seen["connect"] != "done"
    assert seen["look up"] != "done"
    assert seen["secret"] is False
    assert seen["home"] == "/tmp"
    assert seen["grader"] == ["sandbox"], "the worker's own modules and nothing else of the package"
    assert not {"shadow", "ssh", "ssl"} & set(seen["etc"])
    assert "mine" in seen["tmp"]
    assert seen["fill"] == "OSError"
    assert not Path("/tmp/mine").exists()


@needs_bwrap
def test_in_namespaces_there_is_no_further_user_namespace(tmp_path: Path) -> None:
    """Without the filter of system calls: bubblewrap's own option, in the versions that have it."""
    if "--disable-userns" not in bubblewrap._namespace_options(bubblewrap.program_path(), sys.executable):
        pytest.skip("this bubblewrap has no --disable-userns, or it does not work here")
    command = bubblewrap.bwrap_command(tmp_path, sys.path, Path(bubblewrap.__file__).parent)
    code = "import ctypes, sys; sys.exit(10 + ctypes.CDLL(None).unshare(0x10000000))"
    assert subprocess.run([*command, sys.executable, "-c", code], check=False).returncode == 9


DAEMON = """
import os, time
def attention(query):
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            if os.fork():
                os._exit(0)
            time.sleep(1000)
    {end}
"""


@needs_bwrap
@pytest.mark.parametrize(
    ("end", "name"),
    [("os._exit(4)", "exited"), ("os.abort()", "crashed"), ("time.sleep(1000)", "timeout"), ("return query", None)],
)
@pytest.mark.slow
def test_in_namespaces_everything_dies_with_the_worker(end: str, name: str | None, tmp_path: Path) -> None:
    (tmp_path / "student.py").write_text(DAEMON.format(end=end))
    worker = WorkerProcess(root=tmp_path, import_paths=sys.path, limits=Limits(call_seconds=2), in_namespaces=True)
    with SandboxClient(lambda: worker) as remote:
        remote.describe(path=str(tmp_path / "student.py"))
        if name is None:
            remote.call(CallSpec("attention", QUERY), {"query": torch.zeros(1)})
        else:
            with pytest.raises(SubmissionError) as caught:
                remote.call(CallSpec("attention", QUERY), {"query": torch.zeros(1)})
            assert caught.value.name == name
    assert not left_in(tmp_path)


def test_in_the_grading_process_nothing_is_contained_but_failures_have_names(tmp_path: Path) -> None:
    (tmp_path / "helper_of_mine.py").write_text("ONE = 1\n")
    (tmp_path / "student.py").write_text(
        "import os, sys\nfrom helper_of_mine import ONE\n"
        "def attention(query): return query * 2 + ONE + 0 * os.getpid()\n"
        "def pid(query): return query + os.getpid()\n"
        "def leaves(query): sys.exit(3)\n"
    )
    before = list(sys.path)
    with SandboxClient(
        lambda: InProcessWorker(root=tmp_path, import_paths=sys.path, limits=Limits(call_seconds=5))
    ) as remote:
        remote.describe(path=str(tmp_path / "student.py"))
        assert "processes" in remote.unenforced
        query = torch.ones(2, requires_grad=True)
        spec = CallSpec("attention", QUERY, grad=True, requires_grad=("query",))
        remote.call_with_autograd(spec, {"query": query}).tensors["result"].sum().backward()
        assert query.grad is not None
        assert query.grad.tolist() == [2, 2]
        pid = remote.call(CallSpec("pid", QUERY), {"query": torch.zeros(1, dtype=torch.int64)})
        assert pid.tensors["result"].item() == os.getpid()
        with pytest.raises(SubmissionError, match="SystemExit, code 3"):
            remote.call(CallSpec("leaves", QUERY), {"query": query})
        assert remote.replacements == 0
    assert sys.path == before
    sys.modules.pop("helper_of_mine", None)
    sys.modules.pop("student", None)


GREEDY = """
import mmap, os, time, torch

def forks_and_forks(query):
    for _ in range(10):  # a thousand, if it is not stopped
        os.fork()
    time.sleep(100)

def hogs_by_children(query):
    for _ in range(8):
        if os.fork() == 0:
            kept = torch.full((120 << 20,), 2, dtype=torch.uint8)
            time.sleep(1000)
    time.sleep(1000)

def hogs_shared_memory(query):
    kept = mmap.mmap(-1, 900 << 20)
    for place in range(0, 900 << 20, 4096):
        kept[place] = 1
    time.sleep(1000)

def fine(query):
    return query
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has a supervisor")
@pytest.mark.parametrize("tier", ["process", pytest.param("bwrap", marks=needs_bwrap)])
def test_what_only_the_sum_shows_has_a_name(tier: str, tmp_path: Path) -> None:
    (tmp_path / "student.py").write_text(GREEDY)

    def make() -> WorkerProcess:
        limits = Limits(call_seconds=60, processes=20, memory_bytes=200 << 20)
        return WorkerProcess(root=tmp_path, import_paths=sys.path, limits=limits, in_namespaces=tier == "bwrap")

    with SandboxClient(make) as remote:
        remote.describe(path=str(tmp_path / "student.py"))
        for target, name, words in (
            ("forks_and_forks", "too-many-processes", "more than 20 processes"),
            ("hogs_by_children", "out-of-memory", "together took more than 200 MiB"),
            ("hogs_shared_memory", "out-of-memory", "together took more than 200 MiB"),
        ):
            with pytest.raises(SubmissionError) as caught:
                remote.call(CallSpec(target, QUERY), {"query": torch.zeros(1)})
            assert (caught.value.name, target) == (name, target)
            assert words in caught.value.message
            remote.call(CallSpec("fine", QUERY), {"query": torch.zeros(1)})
    assert not left_in(tmp_path)


@pytest.mark.slow
def test_a_run_has_its_own_limit(tmp_path: Path) -> None:
    (tmp_path / "student.py").write_text(
        "import time\ndef slow(query):\n    time.sleep(1000)\ndef fine(query):\n    return query\n"
    )
    limits = Limits(call_seconds=60, run_seconds=2)
    with SandboxClient(lambda: WorkerProcess(root=tmp_path, import_paths=sys.path, limits=limits)) as remote:
        remote.describe(path=str(tmp_path / "student.py"))
        remote.call(CallSpec("fine", QUERY), {"query": torch.zeros(1)})
        with pytest.raises(SubmissionError, match="had not ended") as caught:
            remote.call(CallSpec("slow", QUERY), {"query": torch.zeros(1)})
        assert caught.value.name == "timeout"
        with pytest.raises(SubmissionError, match="used up the 2 s") as caught:
            remote.call(CallSpec("fine", QUERY), {"query": torch.zeros(1)})
        assert caught.value.name == "timeout"
        assert remote.replacements == 1  # one that was not even asked


class Clock:
    """Stands in for the module `time` where the client looks at it."""

    def __init__(self) -> None:
        self.now = 1.0

    def perf_counter(self) -> float:
        return self.now


class Sleepy:
    """Stands in for a worker whose every call takes as long as `seconds`, or as it may."""

    limits = Limits(call_seconds=10, run_seconds=90)
    unenforced = ()
    ended = False
    usable = True

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock, self.seconds = clock, seconds

    def wait_until_ready(self, seconds: float | None = None) -> None:
        pass

    def request(
        self, header: object, tensors: object, *, seconds: float
    ) -> tuple[dict[str, object], dict[str, object]]:
        self.clock.now += min(self.seconds, seconds)
        return {}, {}


@pytest.mark.parametrize(
    ("call_seconds", "pause_seconds", "calls", "seconds"), [(8, 2, 9, 90), (8, 0, 12, 90), (1, 3, 45, 178)]
)
def test_sleeping_in_every_call_ends_with_the_budget(
    call_seconds: float, pause_seconds: float, calls: int, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run's clock ends it; but one that is late by the grader's work alone goes on until half of it is spent."""
    clock = Clock()
    monkeypatch.setattr(client, "time", clock)
    monkeypatch.setattr(run_clock, "time", clock)
    worker = cast(WorkerProcess, Sleepy(clock, call_seconds))
    remote = SandboxClient(lambda: worker)
    for _ in range(calls):
        remote._request(worker, {"op": "call"}, {})
        clock.now += pause_seconds
    with pytest.raises(SubmissionError, match="used up the 90 s"):
        remote._request(worker, {"op": "call"}, {})
    assert clock.now - 1.0 <= seconds + pause_seconds


class Exiting(Sleepy):
    """Stands in for a worker that takes `seconds` to start, and ends in every call."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__(clock, seconds)
        self.ended = self.usable = False
        self.captured_output = ""
        self.peak_rss_bytes = None

    def start(self) -> None:
        self.usable = True

    def wait_until_ready(self, seconds: float | None = None) -> None:
        taken, self.seconds = self.seconds, 0.0
        self.clock.now += taken if seconds is None else min(taken, seconds)
        if seconds is not None and seconds < taken:
            self.ended = True
            raise SubmissionError("timeout", "")

    def request(
        self, header: object, tensors: object, *, seconds: float
    ) -> tuple[dict[str, object], dict[str, object]]:
        self.clock.now += 0.1
        self.ended = True
        raise SubmissionError("exited", "")


@pytest.mark.parametrize("start_seconds", [0.5, 8, 25])
def test_ending_the_worker_in_every_call_ends_with_the_budget(
    start_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later starts are the submission's time, and none is waited for when the run is over."""
    clock = Clock()
    monkeypatch.setattr(client, "time", clock)
    monkeypatch.setattr(run_clock, "time", clock)
    remote = SandboxClient(lambda: cast(WorkerProcess, Exiting(clock, start_seconds)))
    names: list[str] = []
    while clock.now < 1000 and "timeout" not in names:
        with pytest.raises(SubmissionError) as caught:
            remote._request(remote._running(), {"op": "call"}, {})
        names.append(caught.value.name)
    assert names[:2] == ["exited", "exited"]
    assert clock.now - 1.0 <= 90 + start_seconds + 0.2  # the first start is not the submission's
    workers = remote.replacements
    with pytest.raises(SubmissionError, match="used up the 90 s"):
        remote._request(remote._running(), {"op": "call"}, {})
    assert remote.replacements <= workers + 1
