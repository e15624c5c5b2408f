"""For tests of sandboxes, whether their workers are started or forked."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pytest

from pytest_attn_grader.sandbox import bubblewrap
from pytest_attn_grader.sandbox.worker.limits import Limits
from pytest_attn_grader.sandbox.worker.privileges import ORDINARY_USER
from pytest_attn_grader.sandbox.worker_process import WorkerProcess
from pytest_attn_grader.submission.remote.client import SandboxClient
from pytest_attn_grader.submission.worker import SERVICE

needs_bwrap = pytest.mark.skipif(
    bool(bubblewrap.unavailable_reason()), reason=bubblewrap.unavailable_reason() or "it works"
)
# The beginning of a submission that tries what it may not.
TRIED = """
def tried(action):
    try:
        action()
    except (OSError, MemoryError) as error:
        return type(error).__name__
    return "done"
"""

# A submission that leaves three processes behind, each in its session; `end` is how it goes on.
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


def left_in(folder: Path | str) -> list[psutil.Process]:
    """The processes that stand in this folder."""
    return [each for each in psutil.process_iter(["cwd"]) if each.info["cwd"] == str(folder)]


@cache
def ordinary_python() -> tuple[str, str] | None:
    """An interpreter and a PYTHONPATH with which an ordinary user can grade; None where there is none."""
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        # Another interpreter has its own standard library.
        foreign = "" if python == sys.executable else sys.base_prefix
        paths = os.pathsep.join(path for path in sys.path if path and not (foreign and path.startswith(foreign)))
        with contextlib.suppress(OSError):
            command = [python, "-c", "import torch, safetensors, pytest_attn_grader"]
            tried = subprocess.run(command, cwd="/", env={"PYTHONPATH": paths}, check=False, **_identity())
            if tried.returncode == 0:
                return python, paths
    return None


def _identity() -> dict[str, Any]:
    """For `subprocess`: an ordinary user, if this one is root."""
    return {"user": ORDINARY_USER, "group": ORDINARY_USER, "extra_groups": []} if os.geteuid() == 0 else {}


def run_as(user: str, code: str, *arguments: str, seconds: float = 120.0) -> str:
    """Run a script in another process; return what it printed.

    Args:
        user: "root", "ordinary", or "readable root": root, with an interpreter that an ordinary user can run.
        seconds: wall clock that it may take.
    """
    python, environment = sys.executable, dict(os.environ)
    if "root" in user and os.geteuid() != 0:
        pytest.skip("not root")
    if user != "root":
        known = ordinary_python()
        if known is None:
            pytest.skip(f"no interpreter that uid {ORDINARY_USER} can run and that has torch")
        python = known[0]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": known[1]}
    command = [python, "-c", code, *arguments]
    identity = _identity() if user == "ordinary" else {}
    done = subprocess.run(
        command, cwd="/", env=environment, capture_output=True, text=True, timeout=seconds, check=False, **identity
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


MakeRemote = Callable[..., SandboxClient]


def make_worker(root: Path, tier: str = "process", **limits: float) -> WorkerProcess:
    """A worker over a folder, with limits that keep a failing test short."""
    known = Limits(**{"call_seconds": 5.0, **limits})
    return WorkerProcess(root=root, import_paths=sys.path, limits=known, service=SERVICE, in_namespaces=tier == "bwrap")


@contextlib.contextmanager
def serving(root: Path, source: str, tier: str = "process", **limits: float) -> Iterator[SandboxClient]:
    """A worker in a folder that has imported this source."""
    (root / "student.py").write_text(source, encoding="utf-8")
    with SandboxClient(lambda: make_worker(root, tier, **limits)) as remote:
        remote.describe(path=str(root / "student.py"))
        yield remote


@pytest.fixture
def remote_over(tmp_path: Path) -> Iterator[MakeRemote]:
    """Write files into a folder and return a SandboxClient over it, which is closed after the test."""
    made: list[SandboxClient] = []

    def make(source: str, name: str = "student.py", **limits: float) -> SandboxClient:
        (tmp_path / name).write_text(source, encoding="utf-8")
        made.append(SandboxClient(lambda: make_worker(tmp_path, **limits)))
        return made[-1]

    yield make
    for remote in made:
        remote.close()
