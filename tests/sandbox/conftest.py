"""Real worker processes over submissions that are written on the spot."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.sandbox.arguments import TensorRef
from pytest_attn_grader.sandbox.client import SandboxClient
from pytest_attn_grader.sandbox.messages import CallSpec
from pytest_attn_grader.sandbox.worker.limits import Limits
from pytest_attn_grader.sandbox.worker_process import WorkerProcess
from tests.support.sandboxes import DAEMON, left_in

MakeRemote = Callable[..., SandboxClient]


def make_worker(root: Path, tier: str = "process", **limits: float) -> WorkerProcess:
    """A worker over a folder, with limits that keep a failing test short."""
    known = Limits(**{"call_seconds": 5.0, **limits})
    return WorkerProcess(root=root, import_paths=sys.path, limits=known, in_namespaces=tier == "bwrap")


# How a submission goes on that has left processes behind, and the name of the failure that this is.
each_end = pytest.mark.parametrize(
    ("end", "name"),
    [("os._exit(4)", "exited"), ("os.abort()", "crashed"), ("time.sleep(1000)", "timeout"), ("return query", None)],
)


def check_everything_dies(root: Path, tier: str, end: str, name: str | None) -> None:
    """Call a submission that leaves processes behind: its failure has this name, and all of them die."""
    (root / "student.py").write_text(DAEMON.format(end=end))
    spec, tensors = CallSpec("attention", (("query", TensorRef("query")),)), {"query": torch.zeros(1)}
    with SandboxClient(lambda: make_worker(root, tier, call_seconds=2)) as remote:
        remote.describe(path=str(root / "student.py"))
        if name is None:
            remote.call(spec, tensors)
        else:
            with pytest.raises(SubmissionError) as caught:
                remote.call(spec, tensors)
            assert caught.value.name == name
    assert not left_in(root)


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
