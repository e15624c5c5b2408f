from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.grading import speed as speed_module
from pytest_attn_grader.grading.speed import (
    BRIEF,
    DEFAULT_TOKENS,
    LENGTHS,
    STEADY,
    Plan,
    Samples,
    SpeedBenchmark,
    summarize,
)
from pytest_attn_grader.results.comparison import LengthTiming, Speed, Timing
from pytest_attn_grader.submission.function_attention import FunctionAttention
from pytest_attn_grader.submission.remote.round_trips import RoundTrip
from tests.support.students import REFERENCE, Workshop

StudentOf = Callable[..., FunctionAttention]

SLEEPS = REFERENCE.replace("    scores =", "    import time; time.sleep({seconds})\n    scores =", 1)
FAILS_LATER = REFERENCE.replace("    scores =", "    assert query.shape[-2] < 60, 'too long'\n    scores =", 1)
# Takes its time by the square of the length, as a loop over queries and keys does.
LOOPS = SLEEPS.format(seconds="1e-5 * query.shape[-2] ** 2")


def measured(attention: FunctionAttention, longest_tokens: int = 256, **more: float) -> Speed:
    return SpeedBenchmark(attention, longest_tokens, seed=1, **more).measure()


def test_every_length_is_timed(reference_student: FunctionAttention) -> None:
    speed = measured(reference_student)
    assert speed.shape == "batch 1, 2 heads, head_dim 48"
    assert [each.tokens for each in speed.lengths] == list(LENGTHS[: len(speed.lengths)])
    first = speed.lengths[0]
    for each in (first.student, first.reference):
        assert 0 < each.low <= each.median <= each.high < 1
        assert each.repeats >= 3
    assert first.slowdown == first.student.median / first.reference.median
    assert first.transport > 0


def test_in_a_class_only_the_default_length_is_timed_with_all_repeats(
    reference_student: FunctionAttention, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = {}
    time_once = SpeedBenchmark._time

    def recorded(self: SpeedBenchmark, probe: Any, plan: Plan) -> Any:
        plans[probe.query.shape[-2]] = plan
        return time_once(self, probe, plan)

    monkeypatch.setattr(SpeedBenchmark, "_time", recorded)
    monkeypatch.setattr(speed_module, "TOTAL_BUDGET_SECONDS", 60.0)  # a busy machine leaves no length out
    benchmark = SpeedBenchmark(reference_student, 256, seed=1, seconds=60, brief=True)
    assert [each.tokens for each in benchmark.measure().lengths] == list(LENGTHS)
    assert plans == {tokens: STEADY if tokens == DEFAULT_TOKENS else BRIEF for tokens in LENGTHS}


class Clockwork:
    """An attention whose trips take what they are told to, and so do their echoes."""

    def __init__(self, *, seconds: float, echo: float, inside: float) -> None:
        self.student = SimpleNamespace(remote=self)
        self.contract = SimpleNamespace(kind="function")
        self._trip = RoundTrip("call", {}, {}, seconds, inside)
        self._echo = echo

    def __call__(self, query: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        return query * 2

    @contextmanager
    def record_round_trips(self) -> Iterator[list[RoundTrip]]:
        yield [self._trip]

    def echo(self, trip: RoundTrip) -> float:
        assert trip is self._trip
        return self._echo


@pytest.mark.parametrize(
    ("echo", "inside", "left"),
    [
        pytest.param(0.03, 0.01, 0.07, id="the way is taken off"),
        pytest.param(0.03, 0.0, 0.07, id="whatever the worker says"),
        pytest.param(0.2, 0.04, 0.04, id="a way longer than the trip leaves the worker's figure"),
    ],
)
def test_the_way_to_the_worker_is_not_the_students(echo: float, inside: float, left: float) -> None:
    attention: Any = Clockwork(seconds=0.1, echo=echo, inside=inside)
    measured_once = SpeedBenchmark(attention, 6, seed=1).forward_at()
    assert measured_once.student.median == pytest.approx(left)
    assert measured_once.transport == pytest.approx(echo)


def test_no_submission_can_turn_the_clock(tmp_path: Path) -> None:
    """The worker's own clock is in the student's process; this one is not."""
    lies = SLEEPS.format(seconds=0.02) + "\nimport time\ntime.perf_counter = lambda: 0.0\n"
    workshop = Workshop(tmp_path)  # no other test's submission may get this clock
    try:
        assert float(SpeedBenchmark(workshop.attention(lies), 6, seed=1).forward_at().student.median) > 0.01
    finally:
        workshop.close()


def test_stops_where_it_gets_slow_and_says_so(student_of: StudentOf) -> None:
    benchmark = SpeedBenchmark(student_of(LOOPS), 256, seed=1)
    at_64 = benchmark.forward_at()
    speed = benchmark.measure()
    assert [each.tokens for each in speed.lengths] == [6, 64]
    assert speed.lengths[1].student == at_64.student, "what is known is not measured again"
    assert speed.stopped.startswith("256 tokens were not tried: one call took 0.0")


def test_a_slow_one_is_asked_once(student_of: StudentOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed_module, "SLOW_SECONDS", 0.01)
    slow = SpeedBenchmark(student_of(SLEEPS.format(seconds=0.1)), 6, seed=1).measure().lengths[0]
    assert slow.student.repeats == 1


def test_without_time_nothing_is_measured(reference_student: FunctionAttention) -> None:
    speed = measured(reference_student, seconds=-1.0)
    assert speed.lengths == ()
    assert "used up" in speed.stopped


def test_a_time_that_seems_too_long_is_taken_again(
    reference_student: FunctionAttention, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = iter([samples(1.0), samples(0.9), samples(0.01), samples(0.001)])
    monkeypatch.setattr(SpeedBenchmark, "_time", lambda *_: next(taken))
    benchmark = SpeedBenchmark(reference_student, 64, seed=1)
    assert benchmark.confirm_at(limit=50).min_student_seconds == 0.01, "the third is quick enough"
    assert benchmark.forward_at().student.repeats == 3, "all of them are reported"
    monkeypatch.setattr(SpeedBenchmark, "_time", lambda *_: samples(1.0))
    slow = SpeedBenchmark(reference_student, 64, seed=1).confirm_at(limit=50)
    assert slow.min_slowdown > 50
    assert len(slow.trips) == 4


@pytest.mark.parametrize(
    ("trips", "echoes", "slowdown"),
    [
        pytest.param((0.02, 0.03, 0.003), (0.001, 0.001, 0.001), 2, id="one call was not interrupted"),
        pytest.param((0.02, 0.003, 0.003), (0.02, 0.001, 0.03), 2, id="echoes were interrupted"),
        pytest.param((0.1, 0.09, 0.2), (0.001, 0.001, 0.001), 89, id="a slow one is slow each time"),
    ],
)
def test_other_load_makes_no_submission_slow(
    trips: tuple[float, ...], echoes: tuple[float, ...], slowdown: float
) -> None:
    """On a machine with more processes than cores the median of a right submission was 53 times the reference's."""
    busy = Samples(64, trips, (0.0,) * 3, echoes, reference=(0.001, 0.002, 0.001))
    assert busy.min_slowdown == pytest.approx(slowdown)


def samples(seconds: float) -> Samples:
    """One call of a student, beside a reference that takes a millisecond."""
    return Samples(64, (seconds,), (seconds,), (0.0,), (0.001,))


def test_no_factor_is_read_from_a_busy_machine() -> None:
    assert SpeedBenchmark.why_unsteady(timing(student=1.0)) is None
    assert "the reference alone" in (SpeedBenchmark.why_unsteady(timing(student=1.0, high=0.01)) or "")
    assert "the way to the sandbox" in (SpeedBenchmark.why_unsteady(timing(student=1.0, transport=2.0)) or "")


def timing(*, student: float, high: float = 0.001, transport: float = 0.0) -> LengthTiming:
    """Times of a reference that takes a millisecond."""
    return LengthTiming(
        tokens=64,
        student=summarize([student] * 4),
        reference=Timing(median=0.001, low=0.001, high=high, repeats=4),
        transport=transport,
    )


def test_one_that_gives_no_answer(student_of: StudentOf) -> None:
    attention = student_of(FAILS_LATER)
    with pytest.raises(SubmissionError, match="too long"):
        SpeedBenchmark(attention, 256, seed=1).forward_at()
    speed = measured(attention)
    assert [each.tokens for each in speed.lengths] == [6]
    assert "no answer at 64 tokens (" in speed.stopped


def test_one_that_cannot_be_asked_any_more(
    reference_student: FunctionAttention, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its worker has ended, say, and it cannot be constructed again: that ends the measuring and not the run."""

    def fail(*_: object) -> None:
        raise SubmissionError("raised", "not again")

    monkeypatch.setattr(SpeedBenchmark, "why_unsupported", fail)
    speed = measured(reference_student)
    assert (speed.lengths, speed.stopped) == ((), "no answer at 6 tokens (not again)")


def test_a_text_is_no_longer_than_the_model_takes(reference_student: FunctionAttention) -> None:
    assert [each.tokens for each in measured(reference_student, 10).lengths] == [6, 10]


def test_a_timing_has_median_and_quartiles() -> None:
    made = summarize([5.0, 1.0, 2.0, 4.0, 3.0])
    assert (made.low, made.median, made.high, made.repeats) == (2.0, 3.0, 4.0, 5)
    assert summarize([2.0]).low == summarize([2.0]).high == 2.0
