"""What the checks of one run have found so far; in an xdist run, what the worker that has them tells the controller.

Check results travel with pytest's own test reports, everything else (`RunData`) with the worker's farewell.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pytest_attn_grader.errors import AttnGraderError
from pytest_attn_grader.grading.assemble import RunData
from pytest_attn_grader.plugin import outcomes
from pytest_attn_grader.results.report import CheckResult

FACTS_KEY = "attn_grader_facts"
OFFERED_KEY = "attn_grader_offered"


class RunState:
    """Filled while the run goes on, read at its end.

    Attributes:
        results: of all checks, in the process that writes the report.
        outcomes: of the checks that ran in this process, by id.
        offered: the ids of all checks that there are to run.
        wrong: whether a check has shown a mistake that a diagnosis could name.
        other_failures: failed tests of the instructor's that are no checks of ours.
        fault: why nothing can be graded, which is not the submission's doing.
    """

    def __init__(self) -> None:
        self.facts = RunData()
        self.results: dict[str, CheckResult] = {}
        self.outcomes: dict[str, str] = {}
        self.offered: set[str] = set()
        self.wrong = False
        self.other_failures = 0
        self.not_collected: list[str] = []
        self.lost_worker = ""
        self.fault: AttnGraderError | None = None

    def note(self, result: CheckResult, report: pytest.TestReport) -> None:
        """Keep what a check of this process has come to, and send it along with pytest's report of it."""
        self.outcomes[result.id] = result.outcome
        self.wrong |= outcomes.is_diagnosable(result)
        # An attribute of the report survives xdist, which sends them all.
        report.__dict__["attn_check"] = result.model_dump(mode="json")

    def receive(self, report: pytest.TestReport) -> None:
        """Take in a test report, wherever its test was run."""
        check = getattr(report, "attn_check", None)
        if check is not None:
            result = CheckResult.model_validate(check)
            self.results[result.id] = result
        elif report.failed:
            self.other_failures += 1

    def write_worker_output(self, workeroutput: dict[str, Any]) -> None:
        """An xdist worker's last words: what there was to run, and what it found if it had the checks."""
        workeroutput[OFFERED_KEY] = sorted(self.offered)
        if self.outcomes or self.fault is not None:
            workeroutput[FACTS_KEY] = self.facts.model_dump_json()

    def merge_worker_output(self, node: Any, error: object) -> None:
        """The worker that had the checks says what it found, each of them what there was to run."""
        farewell = getattr(node, "workeroutput", {})
        if FACTS_KEY in farewell:
            self.facts = RunData.model_validate_json(farewell[FACTS_KEY])
        self.offered |= set(farewell.get(OFFERED_KEY, ()))
        if error:
            self.lost_worker = f"a worker of pytest-xdist was lost ({error})"

    @property
    def something_failed(self) -> bool:
        """Whether a check of this process has failed so far."""
        return any(outcome == "failed" for outcome in self.outcomes.values())

    @property
    def not_selected(self) -> list[str]:
        """Checks left out by -k, -m, --lf …, or by a plugin that says nothing."""
        return sorted(self.offered - self.results.keys())

    def ungradable_reason(self, exit_code: int, *, signalled: bool) -> str | None:
        """Why there is no verdict; None when the checks have spoken."""
        return next(filter(None, self._reasons(exit_code, signalled)), None)

    def _reasons(self, exit_code: int, signalled: bool) -> Iterator[str]:
        yield self.facts.fault
        yield "the run was ended by SIGTERM" if signalled else ""
        for result in self.results.values():
            yield f"the grader itself failed in {result.id}: {result.message}" if result.outcome == "error" else ""
        yield self.lost_worker
        yield f"{', '.join(self.not_collected)} could not be collected" if self.not_collected else ""
        yield outcomes.EXIT_REASONS.get(
            exit_code, f"pytest ended with exit code {exit_code} before the checks could speak"
        )
        yield "" if self.results or self.other_failures else "none of the grader's checks was run"
