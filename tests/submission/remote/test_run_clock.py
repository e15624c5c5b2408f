"""A run has its own limit, whatever its calls and its workers do."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import torch

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.sandbox.worker.limits import Limits
from pytest_attn_grader.sandbox.worker_process import WorkerProcess
from pytest_attn_grader.submission.remote import client, run_clock
from pytest_attn_grader.submission.remote.arguments import TensorRef
from pytest_attn_grader.submission.remote.client import SandboxClient
from pytest_attn_grader.submission.remote.messages import CallSpec
from tests.support.sandboxes import serving

QUERY = (("query", TensorRef("query")),)


@pytest.mark.slow
def test_a_run_has_its_own_limit(tmp_path: Path) -> None:
    source = "import time\ndef slow(query):\n    time.sleep(1000)\ndef fine(query):\n    return query\n"
    with serving(tmp_path, source, call_seconds=60, run_seconds=2) as remote:
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
