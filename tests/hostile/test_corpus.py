"""Every hostile submission gets the verdict that stands at its top, in both real tiers, and leaves nothing behind."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_attn_grader.sandbox import bubblewrap, fork_server, launch
from pytest_attn_grader.sandbox.fork_server import ForkedProcess, ForkServer
from pytest_attn_grader.submission.worker import SERVICE
from tests.hostile.grading import CORPUS, TIERS, Grading, Hostile, Outcome, corpus, sample

if TYPE_CHECKING:
    from pytest_attn_grader.models.types import LoadedModel

# Killing takes a moment more on a machine with other work; the promise itself is measured below.
DELAY_SECONDS = 60.0
SECRET = {"GITHUB_TOKEN": "hostile-secret"}
# How the worker starts: it imports torch, as in a single run, or is forked from a process that has, as in a class.
SINGLE, FORKED = "single", "forked"
# One of each kind is tried by default; the rest takes minutes.
QUICK = {"process": {"reads_frames", "exits_with_a_pass"}, "bwrap": {"answers_itself"}}
Case = tuple[Hostile, str, str]
Grade = Callable[[Hostile, str, str], Outcome]


def cases() -> Iterator[object]:
    few = sample()
    for start, tier, hostile in itertools.product((FORKED, SINGLE), TIERS, corpus()):
        name = hostile.file.stem
        is_quick = start == SINGLE and name in QUICK[tier]
        if tier in hostile.tiers and (start == FORKED or is_quick or hostile in few):
            marks = [] if is_quick else [pytest.mark.slow]
            yield pytest.param(hostile, tier, start, id=f"{start}-{tier}-{name}", marks=marks)


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer | None]:
    """What the forked workers come from; None where the system has none."""
    if not sys.platform.startswith("linux"):
        yield None
        return
    started = launch.start_fork_server([path for path in sys.path if path], service=SERVICE)
    started.forks_into_namespaces = True
    yield started
    fork_server.set_fork_server(None)
    started.close()


@pytest.fixture(scope="module")
def grade(
    request: pytest.FixtureRequest,
    mini: LoadedModel,
    tmp_path_factory: pytest.TempPathFactory,
    server: ForkServer | None,
) -> Iterator[Grade]:
    """`grade(hostile, tier, start)`: while one is graded, the worker of the next one starts."""
    base = tmp_path_factory.mktemp("hostile")
    numbers = itertools.count()
    wanted = [item.callspec.params for item in request.session.items if "outcome_of" in item.fixturenames]
    order = [(params["hostile"], params["tier"], params["start"]) for params in wanted]
    started: dict[Case, Grading] = {}

    def start(case: Case) -> Grading:
        if case not in started:
            hostile, tier, how = case
            fork_server.set_fork_server(server if how == FORKED else None)
            with pytest.MonkeyPatch.context() as patch:
                for name, value in SECRET.items():
                    patch.setenv(name, value)
                started[case] = Grading(hostile, tier, base / str(next(numbers)), mini)
            worker = started[case].student._first_worker
            assert worker is not None
            assert isinstance(worker._process, ForkedProcess) == (how == FORKED)
        return started[case]

    def run(hostile: Hostile, tier: str, how: str) -> Outcome:
        case = (hostile, tier, how)
        start(case)
        for each in order[order.index(case) + 1 :][:1]:
            if each[1] != "bwrap" or not bubblewrap.unavailable_reason():
                start(each)
        return started.pop(case).outcome()

    yield run
    for grading in started.values():
        grading.student.close()


@pytest.fixture
def outcome_of(grade: Grade) -> Grade:
    """The same, for each test by itself."""
    return grade


@pytest.mark.parametrize(("hostile", "tier", "start"), cases())
def test_the_verdict_is_the_expected_one(hostile: Hostile, tier: str, start: str, outcome_of: Grade) -> None:
    if tier == "bwrap" and bubblewrap.unavailable_reason():
        pytest.skip(bubblewrap.unavailable_reason())
    if start == FORKED and not sys.platform.startswith("linux"):
        pytest.skip("a fork server needs Linux")
    outcome = outcome_of(hostile, tier, start)
    print(f"{tier} {hostile.file.stem}: {outcome.verdict}, {outcome.slowest_seconds:.1f} s, {outcome.words}")
    assert outcome.verdict in hostile.expected, outcome
    assert outcome.slowest_seconds < hostile.seconds + DELAY_SECONDS, outcome
    assert not outcome.left_behind, outcome
    assert "\x1b" not in ascii(outcome.verdict)


def test_the_corpus_is_as_large_as_promised() -> None:
    assert len(corpus()) >= 60
    assert {hostile.file.parent for hostile in corpus()} == {CORPUS}
    for hostile in corpus():
        first = hostile.file.read_text(encoding="utf-8").splitlines()[0]
        assert first.startswith("# attack: "), hostile.file
    assert len({Path(hostile.file).stem for hostile in corpus()}) == len(corpus())
