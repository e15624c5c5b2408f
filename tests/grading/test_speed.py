from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.grading import speed as speed_module
from pytest_attn_grader.grading.speed import DEFAULT_TOKENS, LENGTHS, SpeedBenchmark, growth, timing
from pytest_attn_grader.results.comparison import Speed
from pytest_attn_grader.sandbox.round_trips import RoundTrip
from pytest_attn_grader.submission.function_attention import FunctionAttention
from tests.support.students import REFERENCE

StudentOf = Callable[..., FunctionAttention]

SLEEPS = REFERENCE.replace("    scores =", "    import time; time.sleep({seconds})\n    scores =", 1)
FAILS_LATER = REFERENCE.replace("    scores =", "    assert query.shape[-2] < 60, 'too long'\n    scores =", 1)
DETACHED = REFERENCE.replace("weights @ value, weights", "(weights @ value).detach(), weights.detach()")
# Takes its time by the square of the length, as a loop over queries and keys does.
LOOPS = SLEEPS.format(seconds="1e-5 * query.shape[-2] ** 2")


def measured(attention: FunctionAttention, longest_tokens: int = 256, **more: float) -> Speed:
    return SpeedBenchmark(attention, longest_tokens, seed=1, **more).measure()


def test_every_length_forward_and_backward(reference_student: FunctionAttention) -> None:
    speed = measured(reference_student)
    assert speed.shape == "batch 1, 2 heads, head_dim 64"
    assert [each.tokens for each in speed.lengths] == list(LENGTHS[: len(speed.lengths)])
    first = speed.lengths[0]
    assert first.student_backward is not None
    assert first.reference_backward is not None
    for each in (first.student_forward, first.reference_forward, first.student_backward, first.reference_backward):
        assert 0 < each.low <= each.median <= each.high < 1
        assert each.repeats >= 3
    assert first.slowdown == first.student_forward.median / first.reference_forward.median
    assert first.transport_forward > 0


def test_in_a_class_backward_is_timed_at_one_length(reference_student: FunctionAttention) -> None:
    lengths = measured(reference_student, brief=True).lengths
    assert [each.tokens for each in lengths] == list(LENGTHS)
    assert [each.tokens for each in lengths if each.student_backward is not None] == [DEFAULT_TOKENS]


class Clockwork:
    """An attention whose trips take what they are told to, and so do their echoes."""

    def __init__(self, *, seconds: float, echo: float, inside: float) -> None:
        self.student = SimpleNamespace(remote=self)
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
    assert measured_once.student_forward.median == pytest.approx(left)
    assert measured_once.transport_forward == pytest.approx(echo)


def test_no_submission_can_turn_the_clock(student_of: StudentOf) -> None:
    """The worker's own clock is in the student's process; this one is not."""
    lies = SLEEPS.format(seconds=0.02) + "\nimport time\ntime.perf_counter = lambda: 0.0\n"
    assert float(SpeedBenchmark(student_of(lies), 6, seed=1).forward_at().student_forward.median) >= 0.02


def test_stops_where_it_gets_slow_and_says_so(student_of: StudentOf) -> None:
    stopwatch = SpeedBenchmark(student_of(LOOPS), 256, seed=1)
    at_64 = stopwatch.forward_at()
    speed = stopwatch.measure()
    assert [each.tokens for each in speed.lengths] == [6, 64]
    assert speed.lengths[1].student_forward == at_64.student_forward, "what is known is not measured again"
    assert speed.stopped.startswith("256 tokens were not tried: one call took 0.0")
    assert speed.student_growth is not None


def test_a_slow_one_is_asked_once(student_of: StudentOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed_module, "SLOW_SECONDS", 0.01)
    slow = SpeedBenchmark(student_of(SLEEPS.format(seconds=0.1)), 6, seed=1).measure().lengths[0]
    assert slow.student_forward.repeats == 1
    assert slow.student_backward is None


def test_without_time_nothing_is_measured(reference_student: FunctionAttention) -> None:
    speed = measured(reference_student, seconds=-1.0)
    assert speed.lengths == ()
    assert speed.student_growth is None
    assert "used up" in speed.stopped


def test_one_that_gives_no_answer(student_of: StudentOf) -> None:
    attention = student_of(FAILS_LATER)
    with pytest.raises(SubmissionError, match="too long"):
        SpeedBenchmark(attention, 256, seed=1).forward_at()
    speed = measured(attention)
    assert [each.tokens for each in speed.lengths] == [6]
    assert "no answer at 64 tokens (raised: " in speed.stopped


def test_without_a_graph_there_is_no_backward(student_of: StudentOf) -> None:
    speed = measured(student_of(DETACHED), 6)
    assert speed.lengths[0].student_backward is None
    assert speed.stopped == ""


def test_a_text_is_no_longer_than_the_model_takes(reference_student: FunctionAttention) -> None:
    assert [each.tokens for each in measured(reference_student, 10).lengths] == [6, 10]


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0, 3.0])
def test_growth_is_the_exponent(power: float) -> None:
    points = [(tokens, 1e-6 * tokens**power) for tokens in (64, 256, 1024)]
    assert growth(points) == pytest.approx(power)
    # What a short text costs says nothing about growth.
    assert growth([(6, 1.0), *points]) == pytest.approx(power)
    assert growth([(6, 1e-6 * 6**power), points[0]]) == pytest.approx(power)


def test_growth_needs_two_lengths() -> None:
    assert growth([]) is None
    assert growth([(64, 0.1)]) is None
    assert growth([(64, 0.0), (256, 0.1)]) is None


def test_a_timing_has_median_and_quartiles() -> None:
    made = timing([5.0, 1.0, 2.0, 4.0, 3.0])
    assert (made.low, made.median, made.high, made.repeats) == (2.0, 3.0, 4.0, 5)
    assert timing([2.0]).low == timing([2.0]).high == 2.0
