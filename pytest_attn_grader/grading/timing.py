"""Measure the phases of a run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from pytest_attn_grader.results.report import Phase


class PhaseClock:
    """Adds up wall-clock seconds by phase; a phase inside another is counted once, in the inner one."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget what was measured: a run that was made ready beforehand begins now."""
        self._started = time.perf_counter()
        self._seconds: dict[str, float] = {}
        self._inner: list[float] = []

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self._inner.append(0.0)
        started = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - started
            own = spent - self._inner.pop()
            if self._inner:
                self._inner[-1] += spent
            self._seconds[name] = self._seconds.get(name, 0.0) + own

    @property
    def elapsed_seconds(self) -> float:
        return time.perf_counter() - self._started

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases measured so far, and the rest of the elapsed time as `other`."""
        named = tuple(Phase(name=name, seconds=seconds) for name, seconds in self._seconds.items())
        rest = self.elapsed_seconds - sum(phase.seconds for phase in named)
        return (*named, Phase(name="other", seconds=max(0.0, rest)))
