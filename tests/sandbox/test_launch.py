"""What a worker is started with, and what is said when it cannot be started."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from pytest_attn_grader.errors import SandboxUnavailableError
from pytest_attn_grader.sandbox.launch import clean_environment
from pytest_attn_grader.submission.remote.arguments import TensorRef
from pytest_attn_grader.submission.remote.messages import CallSpec
from tests.support.sandboxes import MakeRemote, make_worker

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="sessions and descriptors are POSIX")


QUERY = (("query", TensorRef("query")),)


def test_the_environment_holds_no_secrets(
    remote_over: MakeRemote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GITHUB_TOKEN", "HF_TOKEN", "CI", "PYTHONPATH", "PYTEST_CURRENT_TEST"):
        monkeypatch.setenv(name, "s3cret")
    remote = remote_over(
        "import os, sys, torch\n"
        "print(sorted(os.environ), 's3cret' in str(os.environ), os.getcwd(), sys.argv, sys.stdin.read(), sys.path[0])\n"
        "print(open('/proc/self/environ').read().count('s3cret') if os.path.exists('/proc/self/environ') else 0)\n"
        "def attention(query): return torch.tensor(torch.get_num_threads())\n"
    )
    remote.describe(path=str(tmp_path / "student.py"))
    assert remote.call(CallSpec("attention", QUERY), {"query": torch.zeros(1)}).tensors["result"].item() == 1
    remote.close()
    first, second = remote.captured_output.splitlines()
    assert "s3cret" not in first
    assert f"False {tmp_path} ['submission']  {tmp_path}" in first
    assert second == "0"


def test_the_environment_is_a_list_of_what_is_kept() -> None:
    given = {
        "PATH": "/bin",
        "LC_ALL": "C",
        "HOME": "/home/me",
        "AWS_SECRET": "x",
        "LD_PRELOAD": "x",
        "OMP_NUM_THREADS": "8",
    }
    kept = clean_environment(given)
    assert kept["PATH"] == "/bin"
    assert kept["LC_ALL"] == "C"
    assert kept["OMP_NUM_THREADS"] == "1"
    assert not {"HOME", "AWS_SECRET", "LD_PRELOAD"} & kept.keys()


def test_a_spawn_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = psutil.Process().num_fds() if hasattr(psutil.Process, "num_fds") else 0
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(SandboxUnavailableError, match="could not be started"):
        make_worker(tmp_path).start()
    after = psutil.Process().num_fds() if hasattr(psutil.Process, "num_fds") else 0
    assert after == before


@posix_only
@pytest.mark.parametrize(
    ("number", "words"), [(errno.EACCES, "read and execute"), (errno.ENOENT, "install Python"), (errno.EAGAIN, "free")]
)
def test_the_remedy_follows_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(SandboxUnavailableError, match=words):
        make_worker(tmp_path).start()
