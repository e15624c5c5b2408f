"""The result of one step of the demo."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StepResult:
    """The result of one step.

    Attributes:
        passed: whether the measurements support the claim.
        lines: the measurements as text.
    """

    passed: bool
    lines: tuple[str, ...]
