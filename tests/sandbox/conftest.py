"""Real worker processes over submissions that are written on the spot."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.submission.remote.arguments import TensorRef
from pytest_attn_grader.submission.remote.messages import CallSpec
from tests.support.sandboxes import DAEMON, left_in, remote_over, serving

__all__ = ["remote_over"]  # a fixture

# How a submission goes on that has left processes behind, and the name of the failure that this is.
each_end = pytest.mark.parametrize(
    ("end", "name"),
    [("os._exit(4)", "exited"), ("os.abort()", "crashed"), ("time.sleep(1000)", "timeout"), ("return query", None)],
)


def check_everything_dies(root: Path, tier: str, end: str, name: str | None) -> None:
    """Call a submission that leaves processes behind: its failure has this name, and all of them die."""
    spec, tensors = CallSpec("attention", (("query", TensorRef("query")),)), {"query": torch.zeros(1)}
    with serving(root, DAEMON.format(end=end), tier, call_seconds=2) as remote:
        if name is None:
            remote.call(spec, tensors)
        else:
            with pytest.raises(SubmissionError) as caught:
                remote.call(spec, tensors)
            assert caught.value.name == name
    assert not left_in(root)
