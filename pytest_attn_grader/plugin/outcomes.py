"""From one pytest test to one `CheckResult`: what an exception means, and how it is shown."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_attn_grader.errors import SubmissionError
from pytest_attn_grader.grading.evidence import CheckFailed, Evidence, NotApplicable
from pytest_attn_grader.plugin.collection import CheckMark
from pytest_attn_grader.reports.escaping import for_log
from pytest_attn_grader.results.report import CheckResult
from pytest_attn_grader.results.submission import Failure

# These show how far a mistake reaches; once it is known, "expected" and "look" would only repeat themselves.
SECONDARY_CATEGORIES = frozenset({"similarity", "behaviour", "coherence"})

# Why the checks could not speak, by pytest's exit code; the first two are no early ends.
EXIT_REASONS = {
    int(pytest.ExitCode.OK): "",
    int(pytest.ExitCode.TESTS_FAILED): "",
    int(pytest.ExitCode.INTERRUPTED): "the run was interrupted",
    int(pytest.ExitCode.NO_TESTS_COLLECTED): "no check was selected",
}


def judge(
    item: pytest.Item,
    mark: CheckMark,
    call: pytest.CallInfo[Any],
    report: pytest.TestReport,
    *,
    evidence: Evidence | None = None,
    something_failed: bool = False,
    ours: bool = True,
    hints: bool = True,
) -> CheckResult:
    """Say what the end of a test's phase means, and make `report` show it without frames of ours.

    A failed requirement and a student's fault are failures, and so is whatever an instructor's own check raises.
    Anything else is the grader's own fault: the outcome `error` makes the run ungradable and costs no points.

    Args:
        something_failed: an earlier check has failed, so that a check of consequences is shown in short.
        ours: one of the grader's own checks, not an instructor's.
        hints: whether it is said where to look; decided here once for the terminal, the JSON and the page.
    """
    consequence = something_failed and mark.category in SECONDARY_CATEGORIES
    result = CheckResult(
        id=mark.id,
        title=mark.title,
        category=mark.category,  # type: ignore[arg-type]  # pydantic refuses unknown ones, with the names of all
        outcome="passed",
        weight=mark.weight,
        needs=mark.needs,
        evidence={} if evidence is None else dict(evidence.numbers),
        seconds=call.duration,
        nodeid=item.nodeid,
    )
    if call.excinfo is None:
        return result
    error = call.excinfo.value
    if isinstance(error, SubmissionError):
        error = CheckFailed.for_failure("an answer of your attention inside the model", Failure.from_error(error))
    if isinstance(error, CheckFailed):
        report.outcome = "failed"
        hint, failure = error.hint, error.failure
        if not hints:
            hint, failure = "", None if failure is None else failure.model_copy(update={"remedy": ""})
        lines = {"expected: ": error.expected, "actual:   ": error.actual, "hint:     ": hint}
        shown = {"actual:   "} if consequence else {label for label, text in lines.items() if text}
        report.longrepr = for_log(
            "\n".join([mark.title, *(label + text for label, text in lines.items() if label in shown)])
        )
        # The headline over a failure: the check's id says more than the name of the test function.
        report.location = (*report.location[:2], mark.id)
        return result.model_copy(
            update={
                "outcome": "failed",
                "expected": error.expected,
                "actual": error.actual,
                "hint": hint,
                "message": f"{mark.title}: {error.actual}",
                "failure": failure,
            }
        )
    if isinstance(error, NotApplicable):
        report.outcome = "skipped"
        report.longrepr = _skip_text(item, f"not applicable: {error}")
        return result.model_copy(update={"outcome": "not-applicable", "message": str(error)})
    if isinstance(error, pytest.skip.Exception):
        return result.model_copy(update={"outcome": "skipped", "message": str(error.msg)})
    if report.when == "call" and not ours:
        # An instructor's own check speaks with plain assertions; pytest shows them as it always does.
        actual = str(error).strip().partition("\n")[0] or type(error).__name__
        return result.model_copy(
            update={
                "outcome": "failed",
                "expected": mark.title,
                "actual": actual,
                "hint": f"the course's own check {item.nodeid}" if hints else "",
                "message": f"{mark.title}: {actual}",
            }
        )
    return result.model_copy(update={"outcome": "error", "message": f"{type(error).__name__}: {error}"})


def suppress_traceback(item: pytest.Item, call: pytest.CallInfo[Any]) -> None:
    """Keep pytest from describing a failure that `judge` describes: it reads and parses our sources for that."""
    if call.excinfo is not None and isinstance(call.excinfo.value, (CheckFailed, NotApplicable, SubmissionError)):
        item.repr_failure = lambda excinfo, style=None: ""  # type: ignore[method-assign]
        # Asked when a fixture raised, such as the comparison inside the model.
        item._repr_failure_py = lambda excinfo, style=None: ""  # type: ignore[assignment,return-value]


def is_diagnosable(result: CheckResult) -> bool:
    """Whether a check shows a mistake that a diagnosis could name: being slow is none."""
    return result.outcome == "failed" and (result.category != "budget" or result.failure is not None)


def _skip_text(item: pytest.Item, reason: str) -> tuple[str, int, str]:
    path, line, _ = item.location
    return path, (line or 0) + 1, f"Skipped: {reason}"


def unmet_dependency(mark: CheckMark, outcomes: dict[str, str]) -> str | None:
    """The id of a needed check that did not pass; None when nothing stands in the way.

    A need without brackets means every variant of that check. A check that was not run (`-k`) blocks nothing.
    """
    for need in mark.needs:
        for check_id, outcome in outcomes.items():
            if (check_id == need or check_id.startswith(f"{need}[")) and outcome in {"failed", "skipped", "error"}:
                return check_id
    return None
