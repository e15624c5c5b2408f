"""The state of a run while its checks go on; in an xdist run, what the worker sends to the controller.

Check results are attached to pytest's own test reports; `RunData` goes through xdist's `workeroutput`.
"""

from __future__ import annotations

from typing import Any

import pytest

from pytest_attn_grader.errors import AttnGraderError
from pytest_attn_grader.grading.assemble import RunData
from pytest_attn_grader.plugin import outcomes
from pytest_attn_grader.plugin.collection import CHECKS_NODEID_PREFIX
from pytest_attn_grader.results.report import CheckResult

DATA_KEY = "attn_grader_data"
COLLECTED_KEY = "attn_grader_collected"
RESULT_ATTRIBUTE = "attn_check"
# Why pytest ended before every check had a result, by its exit code; an empty reason is a run that ended normally.
EXIT_REASONS = {
    int(pytest.ExitCode.OK): "",
    int(pytest.ExitCode.TESTS_FAILED): "",
    int(pytest.ExitCode.INTERRUPTED): "the run was interrupted",
    int(pytest.ExitCode.NO_TESTS_COLLECTED): "no check was selected",
}


class RunState:
    """Filled during the run, read at its end.

    Attributes:
        results: of all checks, in the process that writes the report.
        outcomes: of the checks that ran in this process, by id.
        collected_ids: the ids of all checks, selected or not.
        has_diagnosable_failure: whether a check has shown a mistake that a diagnosis can name.
        other_failures: failed tests of the instructor that are not checks.
        fault: why nothing can be graded, which is not the submission's doing.
    """

    def __init__(self) -> None:
        self.data = RunData()
        self.results: dict[str, CheckResult] = {}
        self.outcomes: dict[str, str] = {}
        self.collected_ids: set[str] = set()
        self.has_diagnosable_failure = False
        self.other_failures = 0
        self.not_collected: list[str] = []
        self.lost_worker = ""
        self.fault: AttnGraderError | None = None

    def record_result(self, result: CheckResult, report: pytest.TestReport) -> None:
        """Record the result of a check of this process, and send it along with pytest's report."""
        self.outcomes[result.id] = result.outcome
        self.has_diagnosable_failure |= outcomes.is_diagnosable(result)
        # xdist sends every attribute of a report.
        setattr(report, RESULT_ATTRIBUTE, result.model_dump(mode="json"))

    def handle_report(self, report: pytest.TestReport) -> None:
        """Take the result from a test report of any process."""
        found = get_result(report)
        if found is not None:
            result = CheckResult.model_validate(found)
            self.results[result.id] = result
        elif report.failed and report.nodeid.startswith(CHECKS_NODEID_PREFIX):
            # A process that dies leaves a report without result: of xdist, pytest-forked and others like them.
            self.lost_worker = self.lost_worker or f"{report.nodeid} ended without a result"
        elif report.failed:
            self.other_failures += 1

    def write_worker_output(self, workeroutput: dict[str, Any]) -> None:
        """Write this worker's state into xdist's `workeroutput`."""
        workeroutput[COLLECTED_KEY] = sorted(self.collected_ids)
        if self.outcomes or self.fault is not None:
            workeroutput[DATA_KEY] = self.data.model_dump_json()

    def merge_worker_output(self, node: Any, error: object) -> None:
        """Merge a finished worker's output into the controller's state."""
        output = getattr(node, "workeroutput", {})
        if DATA_KEY in output:
            self.data = RunData.model_validate_json(output[DATA_KEY])
        self.collected_ids |= set(output.get(COLLECTED_KEY, ()))
        if error:
            self.lost_worker = f"a worker of pytest-xdist was lost ({error})"

    @property
    def not_run(self) -> list[str]:
        """The checks without a result: deselected by -k, -m or --lf, cut off by -x, or dropped by another plugin."""
        return sorted(self.collected_ids - self.results.keys())

    def ungradable_reason(self, exit_code: int, *, signalled: bool) -> str | None:
        """Why there is no verdict; None when pytest ran to its end and no fault of the grader is known."""
        broken = next((result for result in self.results.values() if result.outcome == "error"), None)
        in_order = (
            self.data.fault,
            "the run was ended by SIGTERM" if signalled else "",
            "" if broken is None else f"the grader itself failed in {broken.id}: {broken.message}",
            self.lost_worker,
            f"{', '.join(self.not_collected)} could not be collected" if self.not_collected else "",
            EXIT_REASONS.get(exit_code, f"pytest ended with exit code {exit_code} before every check had a result"),
            "" if self.results or self.other_failures else "none of the grader's checks was run",
            self._failure_of_a_plugin(exit_code),
        )
        return next(filter(None, in_order), None)

    def _failure_of_a_plugin(self, exit_code: int) -> str:
        """Why pytest ended with exit code 1 although no test failed; empty when a test did, or some were not run."""
        failed = self.other_failures or any(result.outcome == "failed" for result in self.results.values())
        if exit_code != pytest.ExitCode.TESTS_FAILED or failed or self.not_run:
            return ""
        return "no test failed, but another plugin made pytest fail, as pytest-cov does with --cov-fail-under"


def get_result(report: object) -> dict[str, Any] | None:
    """Get the check result attached to pytest's report; None when its test is not a check."""
    found: dict[str, Any] | None = getattr(report, RESULT_ATTRIBUTE, None)
    return found
