"""From single measurements to medians, spreads and ratios."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from tests.benchmarks.subjects import Subject

Measured = TypeVar("Measured")


@dataclass(frozen=True)
class Figure:
    """Median and quartiles of several measurements."""

    median: float
    low: float
    high: float
    repeats: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        """Median and quartiles; of one value the value itself."""
        if len(values) < 2:
            return cls(values[0], values[0], values[0], len(values))
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high, len(values))

    def shown(self, digits: int = 2) -> str:
        return f"{self.median:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def alternate(
    subjects: Sequence[Subject], repeats: int, measure: Callable[[Subject], Measured]
) -> dict[str, list[Measured]]:
    """Measure one after the other, again and again, so that what slows the machine slows all of them.

    Every subject runs once before, unmeasured: what it writes for its next run, and what the system keeps of its files,
    is there for all.
    """
    for subject in subjects:
        measure(subject)
    taken: dict[str, list[Measured]] = {subject.name: [] for subject in subjects}
    for turn in range(repeats):
        # Every other round backwards: none is always the one that comes after another.
        for subject in subjects if turn % 2 == 0 else tuple(reversed(subjects)):
            taken[subject.name].append(measure(subject))
    return taken


def ratio(values: Sequence[float], base: Sequence[float]) -> Figure:
    """Value over base, round by round."""
    return Figure.of([value / below for value, below in zip(values, base, strict=True)])


def difference(values: Sequence[float], base: Sequence[float]) -> Figure:
    """Value less base, round by round."""
    return Figure.of([value - below for value, below in zip(values, base, strict=True)])
