"""What a hostile submission costs: its time limit, and at most two seconds more."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
import torch

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.sandbox import bubblewrap
from pytest_attn_grader.submission.remote.arguments import TensorRef
from pytest_attn_grader.submission.remote.client import SandboxClient
from pytest_attn_grader.submission.remote.messages import CallSpec
from tests.support.sandboxes import serving

CALL_SECONDS = 1.0
MORE_SECONDS = 2.0
# On a machine with other work a single try may be late; a grader that is always late is not.
TRIES = 3
SOURCE = """
import os, signal, time

def loops(query):
    while True:
        pass

def refuses(query):
    for number in range(1, 32):
        try:
            signal.signal(number, signal.SIG_IGN)
        except OSError:
            pass
    time.sleep(1000)

def stops(query):
    os.kill(os.getpid(), signal.SIGSTOP)

def forks(query):
    for _ in range(10):
        if os.fork() == 0:
            os.setsid()
            time.sleep(1000)
    time.sleep(1000)

def exits(query):
    os._exit(0)

def closes(query):
    time.sleep(0.9)
    os.closerange(3, 64)
    time.sleep(1000)

def floods(query):
    while True:
        print("x" * 1000)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
@pytest.mark.parametrize("tier", ["process", "bwrap"])
def test_a_call_costs_at_most_its_limit_and_two_seconds(tier: str, tmp_path: Path) -> None:
    if tier == "bwrap" and bubblewrap.unavailable_reason():
        pytest.skip(bubblewrap.unavailable_reason())
    with serving(tmp_path, SOURCE, tier, call_seconds=CALL_SECONDS) as remote:
        for target in ("loops", "refuses", "stops", "forks", "exits", "closes", "floods"):
            assert any(seconds_of(remote, target) < CALL_SECONDS + MORE_SECONDS for _ in range(TRIES)), target


def seconds_of(remote: SandboxClient, target: str) -> float:
    """How long the failing call takes, with the killing and without the start of the next worker."""
    remote.generation  # noqa: B018 - asks for a worker that is ready
    started = time.monotonic()
    with pytest.raises(SubmissionError):
        remote.call(CallSpec(target, (("query", TensorRef("query")),)), {"query": torch.zeros(1)})
    return time.monotonic() - started
