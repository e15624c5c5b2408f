"""Limit the time that a submission has in a run. Standard library only."""

from __future__ import annotations

import time

from pytest_attn_grader.errors import SubmissionError


class RunClock:
    """The time since a run's first request, and how much of it the submission has spent."""

    def __init__(self) -> None:
        self.spent_seconds = 0.0
        self._started: float | None = None

    def limit(self, wanted_seconds: float, run_seconds: float | None) -> float:
        """Return how long a request that wants this time may take.

        The limit of a run is on the clock, whatever a single call may take. But a run that is late for other reasons
        than the submission goes on until the submission has had half of the time for itself.

        Raises:
            SubmissionError: `timeout`, when nothing is left.
        """
        now = time.perf_counter()
        self._started = now if self._started is None else self._started
        if run_seconds is None:
            return wanted_seconds
        left = max(run_seconds - (now - self._started), run_seconds / 2 - self.spent_seconds)
        if left <= 0:
            raise SubmissionError(
                "timeout",
                f"The submission has used up the {run_seconds:g} s that the whole run may take.",
                remedy="Make the single call faster: one matrix product instead of Python loops.",
            )
        return min(wanted_seconds, left)
