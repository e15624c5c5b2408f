from __future__ import annotations

import itertools
import time

import pytest

from pytest_attn_grader.grading.timing import PhaseClock


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch):
    """A clock that a test moves: `ticks(3)` lets three seconds pass."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def wait(seconds: float) -> None:
        now[0] += seconds

    return wait


def seconds(clock: PhaseClock) -> dict[str, float]:
    return {phase.name: phase.seconds for phase in clock.phases}


def test_a_restarted_clock_knows_nothing_of_the_time_before(ticks) -> None:
    clock = PhaseClock()
    with clock.phase("start worker"):
        ticks(2)
    ticks(100)
    clock.restart()
    ticks(3)
    assert clock.elapsed_seconds == 3
    assert seconds(clock) == {"other": 3}


def test_a_phase_within_a_phase_is_counted_once(ticks) -> None:
    clock = PhaseClock()
    ticks(1)
    with clock.phase("outer"):
        ticks(2)
        with clock.phase("inner"):
            ticks(4)
            with clock.phase("innermost"):
                ticks(8)
        ticks(16)
        with clock.phase("inner"):
            ticks(32)
    ticks(64)
    assert seconds(clock) == {"outer": 18.0, "inner": 36.0, "innermost": 8.0, "other": 65.0}
    assert sum(seconds(clock).values()) == clock.elapsed_seconds == 127.0


def test_the_same_phase_within_itself(ticks) -> None:
    clock = PhaseClock()
    with clock.phase("probes"):
        ticks(1)
        with clock.phase("probes"):
            ticks(2)
    assert seconds(clock) == {"probes": 3.0, "other": 0.0}


def test_a_phase_that_fails_is_counted_too(ticks) -> None:
    clock = PhaseClock()

    def fail() -> None:
        with clock.phase("outer"), clock.phase("inner"):
            ticks(2)
            raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        fail()
    with clock.phase("after"):
        ticks(1)
    assert seconds(clock) == {"inner": 2.0, "outer": 0.0, "after": 1.0, "other": 0.0}


def test_phases_can_be_asked_for_while_one_runs(ticks) -> None:
    clock = PhaseClock()
    with clock.phase("load"):
        ticks(3)
        assert seconds(clock) == {"other": 3.0}


def test_the_real_clock_runs_forward() -> None:
    clock = PhaseClock()
    times = [clock.elapsed_seconds for _ in range(3)]
    assert all(earlier <= later for earlier, later in itertools.pairwise(times))
    assert times[0] >= 0
