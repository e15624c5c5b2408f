"""Real worker processes over submissions that are written on the spot."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_attn_grader.sandbox.client import SandboxClient
from pytest_attn_grader.sandbox.worker.limits import Limits
from pytest_attn_grader.sandbox.worker_process import WorkerProcess

MakeRemote = Callable[..., SandboxClient]


def make_worker(root: Path, tier: str = "process", **limits: float) -> WorkerProcess:
    """A worker over a folder, with limits that keep a failing test short."""
    known = Limits(**{"call_seconds": 5.0, **limits})
    return WorkerProcess(root=root, import_paths=sys.path, limits=known, in_namespaces=tier == "bwrap")


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
