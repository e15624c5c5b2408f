"""A worker's control group: what is written into it, and what the kernel makes of that where it lets this user."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.sandbox.worker import control_group
from pytest_attn_grader.sandbox.worker_process import WorkerProcess
from pytest_attn_grader.submission.remote.arguments import TensorRef
from pytest_attn_grader.submission.remote.client import SandboxClient
from pytest_attn_grader.submission.remote.messages import CallSpec
from tests.support.sandboxes import left_in, make_worker, needs_bwrap

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="control groups are Linux's")
QUERY = (("query", TensorRef("query")),)
FILES = ("memory.max", "memory.swap.max", "memory.oom.group", "pids.max", "cgroup.procs", "cgroup.kill")


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which every new folder has the files of a control group, as the kernel's have."""
    plain = Path.mkdir

    def make(self: Path) -> None:
        plain(self)
        for name in FILES:
            (self / name).touch()

    monkeypatch.setattr(Path, "mkdir", make)
    return tmp_path


def written(group: Path) -> dict[str, str]:
    return {name: text for name in FILES if (text := (group / name).read_text())}


def test_a_group_has_the_limits(parent: Path) -> None:
    group = control_group.create_group(1 << 30, 64, parents=[parent / "absent", parent])
    assert group == parent / f"attn-grader-{os.getpid()}"
    limits = {"memory.max": "1073741824", "memory.swap.max": "0", "memory.oom.group": "1", "pids.max": "64"}
    assert written(group) == limits
    control_group.enter_group(group)
    control_group.kill_group(group)
    assert written(group) == {**limits, "cgroup.procs": "0", "cgroup.kill": "1"}


def test_no_limit_is_no_limit(parent: Path) -> None:
    group = control_group.create_group(None, None, parents=[parent])
    assert group is not None
    assert not {"memory.max", "pids.max"} & written(group).keys()


def test_no_other_group_is_killed(tmp_path: Path) -> None:
    (tmp_path / "cgroup.kill").touch()
    control_group.kill_group(tmp_path)
    control_group.kill_group(None)
    assert (tmp_path / "cgroup.kill").read_text() == ""


@pytest.mark.parametrize(
    ("events", "ended"), [("oom 1\noom_kill 1\n", True), ("oom 3\noom_kill 0\n", False), ("", False)]
)
def test_the_end_of_memory_is_read(events: str, ended: bool, tmp_path: Path) -> None:
    (tmp_path / "memory.events").write_text(events)
    assert control_group.ran_out_of_memory(tmp_path) is ended
    assert not control_group.ran_out_of_memory(tmp_path / "absent")


def test_where_no_group_can_be_made_there_is_none(tmp_path: Path) -> None:
    assert control_group.create_group(1, 1, parents=[tmp_path / "absent"]) is None
    assert control_group.create_group(1, 1, parents=[]) is None


def test_groups_of_dead_supervisors_are_removed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        pass
    living = tmp_path / f"attn-grader-{os.getppid()}"
    for each in (tmp_path / f"attn-grader-{dead.pid}", living, tmp_path / "another"):
        each.mkdir()
    group = control_group.create_group(None, None, parents=[tmp_path])
    assert group is not None
    assert sorted(tmp_path.iterdir()) == sorted([group, living, tmp_path / "another"])


def real_parents(controller: str = "") -> list[Path]:
    """The groups of this machine in which a worker's is made; skips where it has none, or none with a controller."""
    found = control_group.find_parents()
    passed_on = [each for each in found if controller in (each / "cgroup.subtree_control").read_text().split()]
    if not found or (controller and found[0] not in passed_on):
        pytest.skip(f"no control group (v2) may be made here{' with ' + controller if controller else ''}")
    return found


FORKS = """
import os, time
def attention(query):
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            time.sleep(1000)
    return query
def hogs(query):
    for place in ("/dev/shm/0", "/dev/shm/1", "/dev/shm/2", "/dev/shm/3", "/tmp/0", "/tmp/1", "/tmp/2", "/tmp/3"):
        with open(place, "wb") as file:
            for _ in range(1000):
                file.write(bytes(1 << 16))
    return query
"""


def worker_in(folder: Path, tier: str, **limits: float) -> WorkerProcess:
    (folder / "student.py").write_text(FORKS)
    return make_worker(folder, tier, **limits)


def groups(parents: list[Path]) -> list[Path]:
    return [group for parent in parents for group in parent.glob("attn-grader-*")]


@pytest.mark.parametrize("tier", ["process", pytest.param("bwrap", marks=needs_bwrap)])
def test_a_worker_and_what_it_starts_are_in_one_group(tier: str, tmp_path: Path) -> None:
    parents = real_parents()
    with SandboxClient(lambda: worker_in(tmp_path, tier)) as remote:
        remote.describe(path=str(tmp_path / "student.py"))
        remote.call(CallSpec("attention", QUERY), {"query": torch.zeros(1)})
        supervisor = remote._running()._process
        assert supervisor is not None
        (group,) = [each for each in groups(parents) if each.name.endswith(f"-{supervisor.pid}")]
        inside = {int(line) for line in (group / "cgroup.procs").read_text().split()}
        assert {each.pid for each in left_in(tmp_path)} - {supervisor.pid} <= inside
        assert len(inside) >= 4
        assert supervisor.pid not in inside
    assert group not in groups(parents)
    assert not left_in(tmp_path)


def test_a_supervisor_that_is_killed_leaves_no_group(tmp_path: Path) -> None:
    parents = real_parents()
    with worker_in(tmp_path, "process") as worker:
        worker.wait_until_ready()
        process = worker._process
        assert isinstance(process, subprocess.Popen)
        group = next(each for each in groups(parents) if each.name.endswith(f"-{process.pid}"))
        process.send_signal(signal.SIGKILL)
    give_up = time.monotonic() + 5
    while group.is_dir() and time.monotonic() < give_up:
        time.sleep(0.01)
    assert not group.is_dir()


@pytest.mark.slow
@needs_bwrap
def test_memory_that_no_process_maps_counts(tmp_path: Path) -> None:
    real_parents("memory")
    with SandboxClient(lambda: worker_in(tmp_path, "bwrap", memory_bytes=1 << 20)) as remote:
        remote.describe(path=str(tmp_path / "student.py"))
        with pytest.raises(SubmissionError) as caught:
            remote.call(CallSpec("hogs", QUERY), {"query": torch.zeros(1)})
        assert caught.value.name == "out-of-memory"
