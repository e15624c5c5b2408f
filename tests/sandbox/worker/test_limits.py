"""Limits are plain data, and one that is reached has a name."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.sandbox.worker.limits import Limits
from pytest_attn_grader.submission.remote.arguments import TensorRef
from pytest_attn_grader.submission.remote.messages import CallSpec
from tests.support.sandboxes import MakeRemote

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a child subreaper")


QUERY = (("query", TensorRef("query")),)


LIMITED = """
import torch
def keeps_files_open(query):
    kept = [open("/dev/null") for _ in range(99)]
def writes_a_large_file(query):
    with open("large", "wb") as file:
        file.write(bytes(2000))
def takes_memory(query):
    torch.ones(100 << 20)
def works_on_and_on(query):
    while True:
        pass
"""


@pytest.mark.sampled(1)
@linux_only
def test_a_limit_that_is_reached_has_a_name(remote_over: MakeRemote, tmp_path: Path) -> None:
    remote = remote_over(
        LIMITED, call_seconds=40, open_files=64, file_size_bytes=1000, memory_bytes=200 << 20, cpu_seconds=5
    )
    remote.describe(path=str(tmp_path / "student.py"))
    for target, name, words in (
        ("keeps_files_open", "too-many-files", "Too many open files"),
        ("writes_a_large_file", "file-too-large", "File too large"),
        ("takes_memory", "out-of-memory", "The memory limit"),
        ("works_on_and_on", "out-of-cpu-time", "processor time"),
    ):
        with pytest.raises(SubmissionError, match=words) as caught:
            remote.call(CallSpec(target, QUERY), {"query": torch.zeros(1)})
        assert caught.value.name == name


@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_a_limit_of_nothing_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="call_seconds"):
        Limits(call_seconds=value)


def test_limits_cross_as_plain_data() -> None:
    limits = Limits(call_seconds=3, memory_bytes=None)
    assert Limits(**asdict(limits)) == limits
