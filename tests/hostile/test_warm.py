"""What a class adds: hostile submissions in workers that are forked from one fork server, one after the other."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_attn_grader.sandbox import bubblewrap, fork_server, launch
from pytest_attn_grader.sandbox.fork_server import ForkedProcess
from tests.hostile.grading import CORPUS, TIERS, Grading, Hostile

if TYPE_CHECKING:
    from pytest_attn_grader.models.types import LoadedModel

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a fork server needs Linux"),
]
# Those that reach for what is around them; what a submission does to itself is the same in every worker.
NAMES = (
    "patches_torch",
    "reads_memory",
    "closes_everything",
    "kills_its_parent",
    "import_leaves_a_daemon",
    "leaves_the_socket_to_a_daemon",
    "forks_once_too_often",
    "stops_itself",
    "patches_the_worker",
)


@pytest.fixture(scope="module")
def warm() -> Iterator[None]:
    started = launch.start_fork_server([path for path in sys.path if path])
    started.forks_into_namespaces = True
    fork_server.set_fork_server(started)
    yield
    fork_server.set_fork_server(None)
    started.close()


@pytest.mark.parametrize("tier", TIERS)
def test_the_same_verdicts_and_nothing_left(tier: str, warm: None, tmp_path: Path, mini: LoadedModel) -> None:
    if tier == "bwrap" and bubblewrap.unavailable_reason():
        pytest.skip(bubblewrap.unavailable_reason())
    found = {}
    for name in NAMES:
        hostile = Hostile.read(CORPUS / f"{name}.py")
        if tier not in hostile.tiers:
            continue
        grading = Grading(hostile, tier, tmp_path / name, mini)
        worker = grading.student._first_worker
        assert worker is not None
        assert isinstance(worker._process, ForkedProcess)
        outcome = grading.outcome()
        found[name] = (outcome.verdict if outcome.verdict not in hostile.expected else "", outcome.left_behind)
    assert found == dict.fromkeys(found, ("", []))
    assert len(found) > len(NAMES) // 2


def test_a_right_one_after_all_of_them_passes(warm: None, tmp_path: Path, mini: LoadedModel) -> None:
    for name in ("patches_torch", "patches_builtins", "right_without_gradients"):
        hostile = Hostile.read(CORPUS / f"{name}.py")
        outcome = Grading(hostile, "process", tmp_path / name, mini).outcome()
        assert outcome.verdict in hostile.expected, (name, outcome)
