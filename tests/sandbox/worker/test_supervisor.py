"""The supervisor sees what only the sum of all processes shows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.submission.remote.arguments import TensorRef
from pytest_attn_grader.submission.remote.messages import CallSpec
from tests.support.sandboxes import left_in, needs_bwrap, serving

QUERY = (("query", TensorRef("query")),)


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
    limits = {"call_seconds": 60, "processes": 20, "memory_bytes": 200 << 20}
    with serving(tmp_path, GREEDY, tier, **limits) as remote:
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


NICE_GRADER = """
import os, sys
sys.path.insert(0, {path!r})
from pathlib import Path
from pytest_attn_grader.sandbox.worker.limits import Limits
from pytest_attn_grader.sandbox.worker_process import WorkerProcess
from pytest_attn_grader.submission.worker import SERVICE
os.nice(3)
with WorkerProcess(root=Path({root!r}), import_paths=sys.path, limits=Limits(), service=SERVICE) as worker:
    worker.wait_until_ready()
    print(os.getpriority(os.PRIO_PROCESS, worker.hello["pid"]) - os.getpriority(os.PRIO_PROCESS, 0))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has a supervisor")
def test_a_worker_is_as_nice_as_its_grader(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    code = NICE_GRADER.format(path=str(pytestconfig.rootpath), root=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
