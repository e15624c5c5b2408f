"""What one step of the tour found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StepResult:
    """Attributes:
    as_claimed: whether the numbers bear the claim out.
    lines: the numbers, in words.
    """

    as_claimed: bool
    lines: tuple[str, ...]
