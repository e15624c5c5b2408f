"""Every hostile submission gets the verdict that stands at its top, in both real tiers, and leaves nothing behind."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_attn_grader.sandbox import bubblewrap
from tests.hostile.grading import CORPUS, TIERS, Grading, Hostile, Outcome, corpus

if TYPE_CHECKING:
    from pytest_attn_grader.models.types import LoadedModel

# One of each kind is tried by default; the rest takes minutes.
QUICK = {"process": {"reads_frames", "exits_with_a_pass"}, "bwrap": {"answers_itself"}}
# Killing takes a moment more on a machine with other work; the promise itself is measured below.
DELAY_SECONDS = 60.0
ORDER = [(hostile, tier) for tier in TIERS for hostile in corpus() if tier in hostile.tiers]
SECRET = {"GITHUB_TOKEN": "hostile-secret"}

Grade = Callable[[Hostile, str], Outcome]


def cases() -> Iterator[object]:
    for hostile, tier in ORDER:
        marks = [] if hostile.file.stem in QUICK[tier] else [pytest.mark.slow]
        yield pytest.param(hostile, tier, id=f"{tier}-{hostile.file.stem}", marks=marks)


@pytest.fixture(scope="module")
def grade(
    request: pytest.FixtureRequest, mini: LoadedModel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Grade]:
    """`grade(hostile, tier)`: while one is graded, the worker of the next one starts."""
    base = tmp_path_factory.mktemp("hostile")
    numbers = itertools.count()
    wanted = [item.callspec.params for item in request.session.items if "outcome_of" in item.fixturenames]
    order = [(params["hostile"], params["tier"]) for params in wanted]
    started: dict[tuple[Hostile, str], Grading] = {}

    def start(case: tuple[Hostile, str]) -> Grading:
        if case not in started:
            with pytest.MonkeyPatch.context() as patch:
                for name, value in SECRET.items():
                    patch.setenv(name, value)
                started[case] = Grading(*case, base / str(next(numbers)), mini)
        return started[case]

    def run(hostile: Hostile, tier: str) -> Outcome:
        case = (hostile, tier)
        start(case)
        following = order[order.index(case) + 1 :][:1]
        for each in following:
            start(each)
        return started.pop(case).outcome()

    yield run
    for grading in started.values():
        grading.student.close()


@pytest.fixture
def outcome_of(grade: Grade) -> Grade:
    """The same, for each test by itself."""
    return grade


@pytest.mark.parametrize(("hostile", "tier"), cases())
def test_the_verdict_is_the_expected_one(hostile: Hostile, tier: str, outcome_of: Grade) -> None:
    if tier == "bwrap" and bubblewrap.unavailable_reason():
        pytest.skip(bubblewrap.unavailable_reason())
    outcome = outcome_of(hostile, tier)
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
